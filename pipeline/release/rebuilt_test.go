package release_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// layer returns a layer with files; each value is the file's mode and content.
func layer(t *testing.T, files map[string]string) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		mode := int64(0o644)
		if text, ok := strings.CutPrefix(text, "x"); ok {
			mode, files[name] = 0o755, text
		}
		err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(files[name])), Typeflag: tar.TypeReg})
		if err == nil {
			_, err = w.Write([]byte(files[name]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func imageOf(t *testing.T, platform v1.Platform, layers ...v1.Layer) v1.Image {
	t.Helper()
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	for _, l := range layers {
		var err error
		if img, err = mutate.Append(img, mutate.Addendum{Layer: l, History: v1.History{CreatedBy: "RUN packages"}}); err != nil {
			t.Fatal(err)
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = platform.OS, platform.Architecture
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}

func TestAnImageBuiltAgainIsTheSameOrSaysWhichFilesAndPackagesDiffer(t *testing.T) {
	platform := v1.Platform{OS: "linux", Architecture: "amd64"}
	shared := layer(t, map[string]string{"shared": "1"})
	was := imageOf(t, platform, shared, layer(t, map[string]string{"same": "1", "content": "1", "mode": "1", "gone": "1"}))
	idx, err := registry.Index([]registry.PlatformImage{{Platform: platform, Image: was}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	compare := func(img v1.Image) *release.Rebuilt {
		r, err := release.CompareImages(t.Context(), platform, idx, img, true)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := compare(was); !r.Same() || r.Files != nil || r.String() != "it is the same image to the byte" {
		t.Errorf("the same image: %+v: %s", r, r)
	}
	r := compare(imageOf(t, platform, shared, layer(t, map[string]string{"same": "1", "content": "2", "mode": "x1", "new": "1"})))
	if want := []string{"/content", "/gone", "/mode", "/new"}; r.Same() || r.Explained() || !slices.Equal(r.Files, want) {
		t.Errorf("files %q, want %q; %s", r.Files, want, r)
	}
	r.Packages = []sbom.Change{{Name: "redis", Type: "python", Old: "1", New: "2"}}
	if r.Explained() || !strings.Contains(r.String(), "Python packages differ, which are locked: redis") {
		t.Errorf("a locked package explains it: %s", r)
	}
	r.Packages = append(r.Packages, sbom.Change{Name: "nginx", Type: "deb", Old: "1", New: "2"})
	if !r.Explained() || !strings.Contains(r.String(), "the distribution has changed packages since: nginx") || strings.Contains(r.String(), "\n") {
		t.Errorf("a package of the distribution does not explain it: %s", r)
	}
}

type unreadable struct{ v1.Layer }

func (unreadable) Uncompressed() (io.ReadCloser, error) { return nil, errors.New("the line broke") }

func TestALayerThatCannotBeReadIsNoDifferenceOfFiles(t *testing.T) {
	platform := v1.Platform{OS: "linux", Architecture: "amd64"}
	shared := layer(t, map[string]string{"shared": "1"})
	was := imageOf(t, platform, unreadable{shared}, layer(t, map[string]string{"file": "1"}))
	idx, err := registry.Index([]registry.PlatformImage{{Platform: platform, Image: was}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	is := imageOf(t, platform, shared, layer(t, map[string]string{"file": "2"}))
	if r, err := release.CompareImages(t.Context(), platform, idx, is, true); err == nil || !strings.Contains(err.Error(), "the line broke") {
		t.Errorf("got %+v, %v", r, err)
	}
}
