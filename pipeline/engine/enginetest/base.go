// Package enginetest holds the test suite that every engine must pass, and its tiny
// test image.
package enginetest

import (
	"archive/tar"
	"bytes"
	"io"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/linuxserver/docker-netbox/pipeline/gotool"
	"github.com/linuxserver/docker-netbox/pipeline/registry/registrytest"
)

// Base returns an index with the tiny image for each platform: one static program
// as /bin/sh and /bin/tiny, and /etc/passwd and /etc/group for user names.
func Base(t *testing.T, platforms ...v1.Platform) v1.ImageIndex {
	t.Helper()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range platforms {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        tinyImage(t, p),
			Descriptor: v1.Descriptor{Platform: &p},
		})
	}
	return index
}

func tinyImage(t *testing.T, p v1.Platform) v1.Image {
	t.Helper()
	program, err := gotool.Bytes(t.Context(), gotool.Compile, gotool.Program{
		Package: "github.com/linuxserver/docker-netbox/pipeline/engine/enginetest/tiny", GOARCH: p.Architecture,
	})
	if err != nil {
		t.Fatal(err)
	}
	layer := Layer(t,
		Entry{Name: "bin/tiny", Mode: 0o755, Content: string(program)},
		Entry{Name: "bin/sh", Link: "tiny"},
		Entry{Name: "etc/", Mode: 0o755},
		Entry{Name: "etc/passwd", Mode: 0o644, Content: "root:x:0:0::/root:/bin/sh\nabc:x:911:911::/config:/bin/sh\n"},
		Entry{Name: "etc/group", Mode: 0o644, Content: "root:x:0:\nabc:x:911:\nusers:x:100:abc\n"},
		Entry{Name: "tmp/", Mode: 0o1777},
		Entry{Name: "volume/", Mode: 0o750, UID: 911, GID: 911},
	)
	img, err := mutate.Config(registrytest.Image(t, p, nil, layer), v1.Config{
		Env: []string{"PATH=/bin", "FROM_BASE=kept"}, Cmd: []string{"/bin/tiny", "print", "default", "command"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// Entry is an entry of a layer: a directory when Name ends in a slash, a
// symbolic link when Link is set, else a file.
type Entry struct {
	Name     string
	Mode     int64
	Content  string
	Link     string
	UID, GID int
}

// Layer returns a layer with these entries only.
func Layer(t *testing.T, entries ...Entry) v1.Layer {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		h := &tar.Header{Name: e.Name, Mode: e.Mode, Uid: e.UID, Gid: e.GID, Typeflag: tar.TypeReg, Size: int64(len(e.Content))}
		switch {
		case e.Link != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.Link
		case e.Name[len(e.Name)-1] == '/':
			h.Typeflag = tar.TypeDir
		}
		err := w.WriteHeader(h)
		if err == nil {
			_, err = io.WriteString(w, e.Content)
		}
		if err != nil {
			t.Fatalf("making a layer: %s: %v", e.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(buf.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		t.Fatal(err)
	}
	return layer
}
