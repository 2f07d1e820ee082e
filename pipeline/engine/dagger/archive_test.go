package dagger

import (
	"archive/tar"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/linuxserver/docker-netbox/pipeline/archive"
	"github.com/linuxserver/docker-netbox/pipeline/engine/enginetest"
)

// A directory without an entry in any layer has one in the archive, before its content
// and with the same time in each build.
func TestDirectoriesWithoutAnEntryAreFlattenedWithATime(t *testing.T) {
	img, err := mutate.AppendLayers(empty.Image,
		enginetest.Layer(t, enginetest.Entry{Name: "etc/", Mode: 0o700}),
		enginetest.Layer(t, enginetest.Entry{Name: "etc/passwd", Mode: 0o644}, enginetest.Entry{Name: "usr/bin/tiny", Mode: 0o755, Content: "tiny"}))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "root.tar")
	if err := flatten(file, img); err != nil {
		t.Fatal(err)
	}
	if got, want := namesIn(t, file), []string{"etc/", "etc/passwd", "usr/", "usr/bin/", "usr/bin/tiny", "etc"}; !slices.Equal(got, want) {
		t.Errorf("the archive has %q, want %q", got, want)
	}
}

func namesIn(t *testing.T, file string) (names []string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = archive.Walk(f, func(h *tar.Header, content io.Reader) error {
		if h.ModTime.Unix() > 1_700_000_000 {
			t.Errorf("%s has the time %s", h.Name, h.ModTime)
		}
		names = append(names, h.Name)
		if h.Name == "usr/bin/tiny" {
			text, err := io.ReadAll(content)
			if string(text) != "tiny" {
				t.Errorf("%s has %q", h.Name, text)
			}
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
