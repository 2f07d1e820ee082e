package dagger

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// archive writes an image as the OCI archive that Container.Import takes, once.
func (e *Engine) archive(img v1.Image) (string, error) {
	digest, err := img.Digest()
	if err != nil {
		return "", err
	}
	e.mu.Lock()
	once, ok := e.images[digest]
	if !ok {
		once = sync.OnceValues(func() (string, error) {
			name := filepath.Join(e.work, digest.Hex+".tar")
			f, err := os.Create(name)
			if err != nil {
				return "", err
			}
			return name, errors.Join(writeArchive(f, img), f.Close())
		})
		e.images[digest] = once
	}
	e.mu.Unlock()
	return once()
}

func writeArchive(out io.Writer, img v1.Image) error {
	w := tar.NewWriter(out)
	put := func(name string, size int64, r io.Reader) error {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size}); err != nil {
			return err
		}
		_, err := io.Copy(w, r)
		return err
	}
	seen := map[v1.Hash]bool{}
	blob := func(digest v1.Hash, size int64, open func() (io.ReadCloser, error)) error {
		if seen[digest] {
			return nil
		}
		seen[digest] = true
		r, err := open()
		if err != nil {
			return err
		}
		defer r.Close()
		return put(path.Join("blobs", digest.Algorithm, digest.Hex), size, r)
	}
	bytes := func(data []byte, err error) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(data))), err }
	}
	manifest, err := img.Manifest()
	if err != nil {
		return err
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for i, l := range layers {
		if err := blob(manifest.Layers[i].Digest, manifest.Layers[i].Size, l.Compressed); err != nil {
			return err
		}
	}
	if err := blob(manifest.Config.Digest, manifest.Config.Size, bytes(img.RawConfigFile())); err != nil {
		return err
	}
	desc, err := describe(img)
	if err != nil {
		return err
	}
	if err := blob(desc.Digest, desc.Size, bytes(img.RawManifest())); err != nil {
		return err
	}
	index, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{desc}})
	if err != nil {
		return err
	}
	for name, text := range map[string]string{"index.json": string(index), "oci-layout": `{"imageLayoutVersion":"1.0.0"}`} {
		if err := put(name, int64(len(text)), strings.NewReader(text)); err != nil {
			return err
		}
	}
	return w.Close()
}

func describe(img v1.Image) (v1.Descriptor, error) {
	digest, err := img.Digest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	size, err := img.Size()
	if err != nil {
		return v1.Descriptor{}, err
	}
	mediaType, err := img.MediaType()
	if err != nil {
		return v1.Descriptor{}, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return v1.Descriptor{}, err
	}
	return v1.Descriptor{MediaType: mediaType, Digest: digest, Size: size, Platform: config.Platform()}, nil
}

// ReadArchive returns the one image of an OCI archive, laid out in dir.
func ReadArchive(file, dir string) (v1.Image, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		name := path.Clean(h.Name)
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		out, err := root.Create(name)
		if err != nil {
			return nil, err
		}
		_, err = io.Copy(out, r)
		if err := errors.Join(err, out.Close()); err != nil {
			return nil, err
		}
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	for len(manifest.Manifests) == 1 && manifest.Manifests[0].MediaType.IsIndex() {
		if index, err = index.ImageIndex(manifest.Manifests[0].Digest); err != nil {
			return nil, err
		}
		if manifest, err = index.IndexManifest(); err != nil {
			return nil, err
		}
	}
	if len(manifest.Manifests) != 1 {
		return nil, fmt.Errorf("it holds %d images, want one", len(manifest.Manifests))
	}
	return index.Image(manifest.Manifests[0].Digest)
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
