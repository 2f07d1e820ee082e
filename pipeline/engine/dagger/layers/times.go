// Package layers makes layers that Dagger builds equal to those of other engines.
package layers

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/linuxserver/docker-netbox/pipeline/archive"
)

// WithTimes rewrites the last layers of an image, in dir, with no file newer than epoch,
// as BuildKit does for SOURCE_DATE_EPOCH. Dagger leaves the time of the build in them:
// each build of the same commit would have another digest.
func WithTimes(img v1.Image, last int, epoch time.Time, dir string) (v1.Image, error) {
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
	built := slices.Clone(layers)
	for i := max(0, len(layers)-last); i < len(layers); i++ {
		g.Go(func() error {
			leftovers, err := certificateLinks(built[:i+1])
			if err != nil {
				return fmt.Errorf("layer %d: %w", i+1, err)
			}
			l, err := rewriteLayer(built[i], epoch, leftovers, filepath.Join(dir, fmt.Sprintf("layer-%d", i)))
			if err != nil {
				return fmt.Errorf("layer %d: %w", i+1, err)
			}
			layers[i] = l
			config.RootFS.DiffIDs[i], err = l.DiffID()
			return err
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

// rewriteLayer writes a layer to a file with no time after epoch, and without the given
// entries.
func rewriteLayer(layer v1.Layer, epoch time.Time, exclude map[string]bool, file string) (v1.Layer, error) {
	in, err := layer.Uncompressed()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	out, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	zip := gzip.NewWriter(out)
	to := tar.NewWriter(zip)
	err = archive.Walk(in, func(h *tar.Header, content io.Reader) error {
		if exclude[entryName(h)] {
			return nil
		}
		for _, at := range []*time.Time{&h.ModTime, &h.AccessTime, &h.ChangeTime} {
			if at.After(epoch) {
				*at = epoch
			}
		}
		err := to.WriteHeader(h)
		if err == nil {
			_, err = io.Copy(to, content)
		}
		return err
	})
	if err := cmp.Or(err, to.Close(), zip.Close(), out.Close()); err != nil {
		return nil, err
	}
	return tarball.LayerFromFile(file, tarball.WithMediaType(types.OCILayer))
}
