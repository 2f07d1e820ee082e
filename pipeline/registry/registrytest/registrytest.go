// Package registrytest provides images and registries for tests.
package registrytest

import (
	"archive/tar"
	"bytes"
	"cmp"
	"io"
	"io/fs"
	"log"
	"net/http/httptest"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Server starts a registry on loopback, which stops when the test ends, and returns
// its address and port.
func Server(t testing.TB, opts ...ggcr.Option) (host string) {
	t.Helper()
	server := httptest.NewServer(ggcr.New(append([]ggcr.Option{ggcr.Logger(log.New(io.Discard, "", 0))}, opts...)...))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// Image returns an OCI image for a platform.
func Image(t testing.TB, platform v1.Platform, labels map[string]string, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := New(platform, labels, layers...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// New is Image without a test.
func New(platform v1.Platform, labels map[string]string, layers ...v1.Layer) (v1.Image, error) {
	img, err := mutate.ConfigFile(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), &v1.ConfigFile{
		OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant,
		Config: v1.Config{Labels: labels}, RootFS: v1.RootFS{Type: "layers"},
	})
	for _, layer := range layers {
		if err == nil {
			img, err = mutate.Append(img, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: "base"}})
		}
	}
	return img, err
}

// Layer returns a layer of size random bytes.
func Layer(t testing.TB, size int64) v1.Layer {
	t.Helper()
	layer, err := random.Layer(size, types.OCILayer)
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

// Files returns a layer with the given files.
func Files(files fs.FS) (v1.Layer, error) {
	var text bytes.Buffer
	w := tar.NewWriter(&text)
	err := w.AddFS(files)
	if err = cmp.Or(err, w.Close()); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text.Bytes())), nil }, tarball.WithMediaType(types.OCILayer))
}
