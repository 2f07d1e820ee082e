package dagger

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/linuxserver/docker-netbox/pipeline/archive"
)

// archive writes an OCI archive of an image, for Container.Import, unless it exists.
func (e *Engine) archive(img v1.Image) (string, error) {
	digest, err := img.Digest()
	if err != nil {
		return "", err
	}
	return e.workFile(digest.Hex+".tar", func(file string) error {
		dir := file + ".layout"
		return errors.Join(writeArchive(file, dir, img), os.RemoveAll(dir))
	})
}

// writeArchive writes an image as an OCI layout in dir, and archives that in a file.
func writeArchive(file, dir string, img v1.Image) error {
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	if err := l.AppendImage(img); err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	w := tar.NewWriter(f)
	return errors.Join(w.AddFS(os.DirFS(dir)), w.Close(), f.Close())
}

// flatten writes the root file system of an image as one archive. It adds an entry for
// each directory that has none in any layer: the engine would create it with the time
// of the build, and the digest of the same image would differ each time.
func flatten(file string, img v1.Image) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	r := mutate.Extract(img)
	defer r.Close()
	w := tar.NewWriter(f)
	have := map[string]bool{".": true}
	err = archive.Walk(r, func(h *tar.Header, content io.Reader) error {
		name := path.Clean(strings.TrimLeft(h.Name, "/"))
		var parents []*tar.Header
		for dir := path.Dir(name); !have[dir]; dir = path.Dir(dir) {
			have[dir] = true
			parents = append(parents, &tar.Header{Name: dir + "/", Typeflag: tar.TypeDir, Mode: 0o755, ModTime: time.Unix(0, 0)})
		}
		have[name] = true
		for _, parent := range slices.Backward(parents) {
			if err := w.WriteHeader(parent); err != nil {
				return err
			}
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.Copy(w, content)
		return err
	})
	return errors.Join(err, w.Close(), f.Close())
}
