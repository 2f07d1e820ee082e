package enginetest

import (
	"archive/tar"
	"errors"
	"io"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// noneNewer fails when the last layer of an image has a file that is newer than
// a time: what is built later would have another digest.
func noneNewer(t *testing.T, img v1.Image, than time.Time) {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	r, err := layers[len(layers)-1].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for files := tar.NewReader(r); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.ModTime.After(than) {
			t.Errorf("%s in the last layer has the time %s, want none after %s", h.Name, h.ModTime, than)
		}
	}
}
