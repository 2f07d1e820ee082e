package dagger

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/dagger"
	"github.com/linuxserver/docker-netbox/pipeline/engine/enginetest"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
	"github.com/linuxserver/docker-netbox/tests/need"
)

// layersDockerfile contains what the image's Dockerfile contains: a command, copies
// of a directory and a file from another stage, and directories that already exist.
const layersDockerfile = `ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS made
COPY tree /made
RUN write /made/written by a command
FROM ${BASE_IMAGE}
RUN write /etc/ran by a command
COPY --from=made /made /opt/made
COPY --from=made /made/ /
COPY --from=made /made/written /opt/netbox/written
COPY copied.txt /copied.txt
`

// Both engines build the same image of a commit: all layers above the base are
// identical.
func TestTheEnginesBuildTheSameLayers(t *testing.T) {
	program(t)
	need.Root(t, "the local engine")
	platforms := []v1.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64", Variant: "v8"}}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	l, err := local.New(local.Options{
		Cache: filepath.Join(cache, "docker-netbox", "engine"), Tools: "../../tools", Platforms: platforms,
		LockWait: 20 * time.Minute, Environ: os.Environ(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := l.Setup(t.Context(), io.Discard); err != nil {
		t.Fatal(err)
	}
	d, err := dagger.New(t.Context(), dagger.Options{Repo: "../..", Environ: os.Environ(), Connect: dagger.Dial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})

	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"tree/etc/one": 0o644, "tree/opt/netbox/lib/two": 0o700, "copied.txt": 0o644} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("two", filepath.Join(dir, "tree/opt/netbox/lib/link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(layersDockerfile), 0o644); err != nil {
		t.Fatal(err)
	}
	base := enginetest.Base(t, platforms...)
	const own = 5 // instructions of the last stage
	for _, platform := range platforms {
		layers := map[string][]v1.Layer{}
		for name, e := range map[string]engine.Engine{"local": l, "Dagger": d} {
			img, err := e.Build(t.Context(), engine.BuildRequest{
				Platform: platform, Context: dir, Dockerfile: "Dockerfile", Base: engine.Base{Index: base}, Epoch: time.Unix(1_700_000_000, 0), Log: io.Discard,
			})
			if err != nil {
				t.Fatal(err)
			}
			layers[name] = ownLayers(t, img, own)
		}
		ours, theirs := layers["local"], layers["Dagger"]
		for i := range own {
			if a, b := entries(t, ours[i]), entries(t, theirs[i]); !slices.Equal(a, b) {
				t.Errorf("%s, layer %d of %d: the local engine writes\n%q\nand Dagger\n%q", platform, i+1, own, a, b)
			} else if a, b := digestOf(t, ours[i]), digestOf(t, theirs[i]); a != b {
				t.Errorf("%s, layer %d of %d has the same entries, but the local engine's is %s and Dagger's %s", platform, i+1, own, a, b)
			}
		}
	}
}

func digestOf(t *testing.T, l v1.Layer) v1.Hash {
	t.Helper()
	digest, err := l.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// ownLayers returns the last layers of an image.
func ownLayers(t *testing.T, img v1.Image, last int) []v1.Layer {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	if len(layers) < last {
		t.Fatalf("there are %d layers, want %d and those of the base", len(layers), last)
	}
	return layers[len(layers)-last:]
}

// entries returns the headers of a layer, one string per entry.
func entries(t *testing.T, l v1.Layer) (found []string) {
	t.Helper()
	r, err := l.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for files := tar.NewReader(r); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, fmt.Sprintf("%s %c %o %d:%d %s %d %d %v %v", h.Name, h.Typeflag, h.Mode, h.Uid, h.Gid, h.Linkname, h.Size, h.ModTime.Unix(), h.Format, h.PAXRecords))
	}
}
