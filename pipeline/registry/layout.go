package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"golang.org/x/sync/errgroup"

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

// ReadLayout is the index that WriteLayout put into dir, after reading every
// blob of it and comparing it with its digest. A dir that is absent is a
// missing prerequisite.
func ReadLayout(ctx context.Context, dir string) (v1.ImageIndex, error) {
	o, err := OpenLayout(dir)
	if err != nil {
		return nil, err
	}
	images, err := Images(o.Index)
	if err != nil {
		return nil, damaged(dir, err)
	}
	for _, img := range images {
		if _, _, err := CheckImage(ctx, img.Image); err != nil {
			return nil, damaged(dir, err)
		}
	}
	return o.Index, nil
}

// damaged is an error of an image layout that is there.
func damaged(dir string, err error) error {
	return fmt.Errorf("read the image layout %s: %w; make it again with `go run ./ci build`", dir, err)
}

// CheckImage reads the layers and the configuration of an image, and compares
// each with its digest. The error names all that are damaged.
func CheckImage(ctx context.Context, img v1.Image) (layers int, size int64, err error) {
	manifest, err := img.Manifest()
	if err != nil {
		return 0, 0, err
	}
	blobs := append(slices.Clone(manifest.Layers), manifest.Config)
	errs := make([]error, len(blobs))
	var g errgroup.Group
	g.SetLimit(jobs)
	for i, b := range blobs {
		size += b.Size
		g.Go(func() error {
			errs[i] = CopyBlob(ctx, img, b, io.Discard)
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	if err := errors.Join(errs...); err != nil {
		return 0, 0, oneLine(err)
	}
	return len(manifest.Layers), size, nil
}

// largestDocument bounds what is read into memory, in bytes.
const largestDocument = 64 << 20

// ReadBlob reads a document among the blobs of an image, and compares it with
// its digest.
func ReadBlob(ctx context.Context, img v1.Image, d v1.Descriptor) ([]byte, error) {
	if d.Size > largestDocument {
		return nil, fmt.Errorf("blob %s has %d bytes, too many for a document", d.Digest, d.Size)
	}
	var text bytes.Buffer
	err := CopyBlob(ctx, img, d, &text)
	return text.Bytes(), err
}

// CopyBlob copies a layer or the configuration of an image, and compares it with
// its digest.
func CopyBlob(ctx context.Context, img v1.Image, d v1.Descriptor, to io.Writer) error {
	layer, err := img.LayerByDigest(d.Digest)
	if err == nil {
		err = copyBytes(ctx, layer, d.Digest, d.Size, to)
	}
	if err != nil {
		return fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	return nil
}

// copyBytes reads a blob to its end and compares it with its digest and size.
func copyBytes(ctx context.Context, layer v1.Layer, want v1.Hash, size int64, to io.Writer) error {
	rc, err := layer.Compressed()
	if err != nil {
		return err
	}
	defer rc.Close()
	got, n, err := v1.SHA256(io.TeeReader(io.LimitReader(contextReader{ctx, rc}, size+1), to))
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
