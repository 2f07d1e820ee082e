package dagger

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"
)

// withTimes writes the last layers of an image again, in dir, with no file newer
// than epoch, as BuildKit does for SOURCE_DATE_EPOCH. Dagger leaves the time of
// the build in them: the same commit would have another digest wherever it is
// built again.
func withTimes(img v1.Image, last int, epoch time.Time, dir string) (v1.Image, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	if len(config.RootFS.DiffIDs) != len(layers) {
		return nil, fmt.Errorf("it has %d layers and its config %d", len(layers), len(config.RootFS.DiffIDs))
	}
	var g errgroup.Group
	for i := max(0, len(layers)-last); i < len(layers); i++ {
		g.Go(func() error {
			l, err := rewriteLayer(layers[i], epoch, filepath.Join(dir, fmt.Sprintf("layer-%d", i)))
			if err != nil {
				return fmt.Errorf("layer %d: %w", i+1, err)
			}
			layers[i], config.RootFS.DiffIDs[i] = l, l.diffID
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if out, err = mutate.AppendLayers(out, layers...); err != nil {
		return nil, err
	}
	return mutate.ConfigFile(out, config)
}

// rewritten is a layer in a file.
type rewritten struct {
	file           string
	digest, diffID v1.Hash
	size           int64
}

func (l *rewritten) Digest() (v1.Hash, error)            { return l.digest, nil }
func (l *rewritten) DiffID() (v1.Hash, error)            { return l.diffID, nil }
func (l *rewritten) Compressed() (io.ReadCloser, error)  { return os.Open(l.file) }
func (l *rewritten) Size() (int64, error)                { return l.size, nil }
func (l *rewritten) MediaType() (types.MediaType, error) { return types.OCILayer, nil }
func (l *rewritten) Uncompressed() (io.ReadCloser, error) {
	layer, err := partial.CompressedToLayer(l)
	if err != nil {
		return nil, err
	}
	return layer.Uncompressed()
}

// rewriteLayer writes a layer to a file with no time after epoch.
func rewriteLayer(layer v1.Layer, epoch time.Time, file string) (_ *rewritten, err error) {
	in, err := layer.Uncompressed()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	out, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	compressed, plain := sha256.New(), sha256.New()
	zip := gzip.NewWriter(io.MultiWriter(out, compressed))
	to := tar.NewWriter(io.MultiWriter(zip, plain))
	for from := tar.NewReader(in); ; {
		h, err := from.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		for _, at := range []*time.Time{&h.ModTime, &h.AccessTime, &h.ChangeTime} {
			if at.After(epoch) {
				*at = epoch
			}
		}
		if err := to.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := io.Copy(to, from); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(to.Close(), zip.Close()); err != nil {
		return nil, err
	}
	size, err := out.Seek(0, io.SeekCurrent)
	return &rewritten{file: file, digest: sum(compressed), diffID: sum(plain), size: size}, err
}

func sum(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}
