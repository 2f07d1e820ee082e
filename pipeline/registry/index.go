package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"golang.org/x/sync/errgroup"

	"github.com/linuxserver/docker-netbox/pipeline/outdir"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
)

// PlatformImage is the image of one platform.
type PlatformImage struct {
	Platform v1.Platform
	Image    v1.Image
	Digest   v1.Hash // set by Images only
}

// Annotations of an index and labels of an image, defined by the OCI image
// specification.
const (
	TitleLabel      = "org.opencontainers.image.title"
	VersionLabel    = "org.opencontainers.image.version"
	RevisionLabel   = "org.opencontainers.image.revision"
	SourceLabel     = "org.opencontainers.image.source"
	BaseNameLabel   = "org.opencontainers.image.base.name"
	BaseDigestLabel = "org.opencontainers.image.base.digest"
)

// Key returns the name of a platform without its variant: "linux/arm64".
func Key(p v1.Platform) string { return p.OS + "/" + p.Architecture }

// Index assembles the OCI index of images, one manifest per platform, sorted by
// platform: the same images result in the same digest.
//
// It fails if the configuration of an image names another platform or variant:
// clients choose by the index but check the configuration. Annotations without a
// value are omitted.
func Index(images []PlatformImage, annotations map[string]string) (v1.ImageIndex, error) {
	if len(images) == 0 {
		return nil, errors.New("assembling an index: no image given")
	}
	var addenda []mutate.IndexAddendum
	for _, img := range images {
		want := platform.Canonical(img.Platform)
		config, err := img.Image.ConfigFile()
		if err != nil {
			return nil, fmt.Errorf("reading the configuration of the image for %s: %w", want, err)
		}
		if got := config.Platform(); got == nil || !got.Equals(want) {
			return nil, fmt.Errorf("assembling an index: the image for %s says it is for %s", want, got)
		}
		if slices.ContainsFunc(addenda, func(a mutate.IndexAddendum) bool { return a.Platform.Equals(want) }) {
			return nil, fmt.Errorf("assembling an index: two images for %s", want)
		}
		addenda = append(addenda, mutate.IndexAddendum{Add: plainImage{img.Image}, Descriptor: v1.Descriptor{Platform: &want}})
	}
	slices.SortFunc(addenda, func(a, b mutate.IndexAddendum) int { return strings.Compare(a.Platform.String(), b.Platform.String()) })
	annotations = maps.Clone(annotations)
	maps.DeleteFunc(annotations, func(_, value string) bool { return value == "" })
	return mutate.Annotations(mutate.AppendManifests(empty.Index, addenda...), annotations).(v1.ImageIndex), nil
}

// plainImage is an image without an artifactType. go-containerregistry would write
// the media type of the configuration into the index as artifactType, which no other
// tool does and registries older than OCI 1.1 reject.
type plainImage struct{ v1.Image }

// ArtifactType overrides the default of go-containerregistry.
func (plainImage) ArtifactType() (string, error) { return "", nil }

// Images returns the images of an index with their platforms. Any other entry is an
// error: attestations are referrers, never entries.
func Images(idx v1.ImageIndex) ([]PlatformImage, error) {
	manifest, err := idx.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("reading an index: %w", err)
	}
	var out []PlatformImage
	for _, d := range manifest.Manifests {
		if !d.MediaType.IsImage() || d.Platform == nil || d.Platform.OS == "" || d.Platform.Architecture == "" {
			return nil, fmt.Errorf("reading an index: entry %s (%s) is not the image of a platform", d.Digest, d.MediaType)
		}
		img, err := ImageIn(idx, d.Digest)
		if err != nil {
			return nil, fmt.Errorf("reading the image for %s from an index: %w", d.Platform, err)
		}
		out = append(out, PlatformImage{Platform: *d.Platform, Image: img, Digest: d.Digest})
	}
	if len(out) == 0 {
		return nil, errors.New("reading an index: it has no image")
	}
	return out, nil
}

// ImageIn returns an image of an index and checks the digest of its manifest, which
// not every implementation of v1.ImageIndex does.
func ImageIn(idx v1.ImageIndex, digest v1.Hash) (v1.Image, error) {
	img, err := idx.Image(digest)
	if err != nil {
		return nil, err
	}
	got, err := img.Digest()
	if err == nil && got != digest {
		err = fmt.Errorf("its manifest is corrupt: digest %s, expected %s", got, digest)
	}
	return img, err
}

// WriteLayout writes idx to dir as an OCI image layout with one entry. It replaces
// an existing layout as a whole.
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

// ReadLayout returns the index that WriteLayout wrote to dir, after checking the
// digest of every blob. If dir does not exist, the error is a usage error.
func ReadLayout(ctx context.Context, dir string) (v1.ImageIndex, error) {
	o, err := OpenLayout(dir)
	if err != nil {
		return nil, err
	}
	images, err := Images(o.Index)
	if err != nil {
		return nil, layoutError(dir, err)
	}
	for _, img := range images {
		if _, _, err := CheckImage(ctx, img.Image); err != nil {
			return nil, layoutError(dir, err)
		}
	}
	return o.Index, nil
}

// layoutError wraps the error of an existing but invalid image layout.
func layoutError(dir string, err error) error {
	return fmt.Errorf("read the image layout %s: %w; make it again with `go run ./ci build`", dir, err)
}

// CheckImage checks the digests of the layers and the configuration of an image, and
// returns the number of layers and the size of all blobs in bytes. The error lists
// every damaged blob.
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

// maxDocumentSize limits the size of a blob that is read into memory, in bytes.
const maxDocumentSize = 64 << 20

// ReadBlob returns a blob of an image that is a document, and checks its digest.
func ReadBlob(ctx context.Context, img v1.Image, d v1.Descriptor) ([]byte, error) {
	if d.Size > maxDocumentSize {
		return nil, fmt.Errorf("blob %s has %d bytes, too many for a document", d.Digest, d.Size)
	}
	var text bytes.Buffer
	err := CopyBlob(ctx, img, d, &text)
	return text.Bytes(), err
}

// CopyBlob copies a layer or the configuration of an image, and checks its digest.
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

// copyBytes copies a blob, and checks its digest and size.
func copyBytes(ctx context.Context, layer v1.Layer, want v1.Hash, size int64, to io.Writer) error {
	rc, err := layer.Compressed()
	if err != nil {
		return err
	}
	defer rc.Close()
	got, n, err := v1.SHA256(io.TeeReader(io.LimitReader(rc, size+1), io.MultiWriter(contextWriter{ctx}, to)))
	if err != nil {
		return err
	}
	if got != want || n != size {
		return fmt.Errorf("it is corrupt: %d bytes with digest %s, expected %d bytes", n, got, size)
	}
	return nil
}

// contextWriter fails once its context is done, so that Ctrl-C stops a long copy.
type contextWriter struct{ context.Context }

func (u contextWriter) Write(b []byte) (int, error) { return len(b), u.Err() }
