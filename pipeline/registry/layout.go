package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"golang.org/x/sync/errgroup"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/outdir"
)

// WriteLayout puts idx into dir as an OCI image layout with one entry. A
// layout that is there already is replaced as a whole.
func WriteLayout(dir string, idx v1.ImageIndex) error {
	return outdir.Replace(dir, func(tmp string) error {
		path, err := layout.Write(tmp, empty.Index)
		if err == nil {
			err = path.AppendIndex(idx)
		}
		if err != nil {
			return fmt.Errorf("writing the image layout %s: %w", dir, err)
		}
		return nil
	})
}

// ReadLayout gives the index that WriteLayout put into dir, after reading
// every blob of it and comparing it with its digest. A dir that is absent is a
// missing prerequisite.
func ReadLayout(ctx context.Context, dir string) (v1.ImageIndex, error) {
	idx, err := readLayout(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Stat(dir); errors.Is(statErr, fs.ErrNotExist) {
			return nil, failure.Usagef("reading the image layout %s: there is none; make it with `go run ./ci build`", dir)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the image layout %s: %w; make it again with `go run ./ci build`", dir, err)
	}
	return idx, nil
}

func readLayout(ctx context.Context, dir string) (v1.ImageIndex, error) {
	root, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	manifest, err := root.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(manifest.Manifests) != 1 || !manifest.Manifests[0].MediaType.IsIndex() {
		return nil, errors.New("it does not hold exactly one index")
	}
	idx, err := root.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		return nil, err
	}
	if digest, err := idx.Digest(); err != nil {
		return nil, err
	} else if want := manifest.Manifests[0].Digest; digest != want {
		return nil, fmt.Errorf("the index has digest %s, not %s", digest, want)
	}
	blobs, err := blobsOf(idx)
	if err != nil {
		return nil, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for _, b := range blobs {
		g.Go(func() error {
			if err := sameBytes(ctx, b.layer, b.digest, b.size); err != nil {
				return fmt.Errorf("blob %s: %w", b.digest, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	// Every layer has been read: what is left to check is how the parts agree.
	if err := validate.Index(idx, validate.Fast); err != nil {
		return nil, errors.New(oneLine(err))
	}
	return idx, nil
}

// sameBytes reads a blob to its end and compares it with its digest and size.
func sameBytes(ctx context.Context, layer v1.Layer, want v1.Hash, size int64) error {
	rc, err := layer.Compressed()
	if err != nil {
		return err
	}
	defer rc.Close()
	got, n, err := v1.SHA256(contextReader{ctx, rc})
	if err != nil {
		return err
	}
	if got != want || n != size {
		return fmt.Errorf("it is corrupt: %d bytes with digest %s, expected %d bytes", n, got, size)
	}
	return nil
}

// contextReader ends with the context's error: reading a large file stops at
// Ctrl-C.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
