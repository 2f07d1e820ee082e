package layers

import (
	"archive/tar"
	"bytes"
	"io"
	"slices"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// imageWithTimes returns an image with a layer of one file for each time.
func imageWithTimes(t *testing.T, times ...time.Time) v1.Image {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, at := range times {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		h := tar.Header{Typeflag: tar.TypeReg, Name: "file", Mode: 0o4755, Uid: 7, Size: 4, ModTime: at, PAXRecords: map[string]string{"SCHILY.xattr.security.capability": "\x01"}}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("text")); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }, tarball.WithMediaType(types.OCILayer))
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.Append(img, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: "made"}}); err != nil {
			t.Fatal(err)
		}
	}
	return img
}

func TestTheTimeOfTheBuildIsNotInTheLayers(t *testing.T) {
	epoch := time.Unix(1_700_000_000, 0).UTC()
	before, after := epoch.Add(-time.Hour), epoch.Add(time.Hour)
	var digests []v1.Hash
	for _, built := range []time.Time{after, after.Add(time.Hour)} {
		img := imageWithTimes(t, after, before, built)
		out, err := WithTimes(img, 2, epoch, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		var got []time.Time
		layers, err := out.Layers()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range layers {
			r, err := l.Uncompressed()
			if err != nil {
				t.Fatal(err)
			}
			files := tar.NewReader(r)
			h, err := files.Next()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, h.ModTime.UTC())
			text, err := io.ReadAll(files)
			if err != nil || string(text) != "text" || h.Mode != 0o4755 || h.Uid != 7 || h.PAXRecords["SCHILY.xattr.security.capability"] != "\x01" {
				t.Errorf("the file has become %q, %+v, %v", text, h, err)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
		// The base's layer and older files are unchanged.
		if want := []time.Time{after, before, epoch}; !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Errorf("times %v, want %v", got, want)
		}
		was, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		is, err := out.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if len(is.History) != len(was.History) || is.RootFS.DiffIDs[0] != was.RootFS.DiffIDs[0] || is.RootFS.DiffIDs[2] == was.RootFS.DiffIDs[2] {
			t.Errorf("config %+v, was %+v", is, was)
		}
		digest, err := out.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, digest)
	}
	if digests[0] != digests[1] {
		t.Errorf("builds at two times made %s and %s", digests[0], digests[1])
	}
}
