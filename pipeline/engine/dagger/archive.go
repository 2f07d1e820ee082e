package dagger

import (
	"archive/tar"
	"errors"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// archive writes an image as the OCI archive that Container.Import takes, once.
func (e *Engine) archive(img v1.Image) (string, error) {
	digest, err := img.Digest()
	if err != nil {
		return "", err
	}
	return e.once(digest.Hex+".tar", func(file string) error {
		dir := file + ".layout"
		return errors.Join(writeArchive(file, dir, img), os.RemoveAll(dir))
	})
}

// writeArchive writes an image as an OCI layout in dir, and that to a file.
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

// flatten writes the root file system of an image as one archive.
func flatten(file string, img v1.Image) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	r := mutate.Extract(img)
	defer r.Close()
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
