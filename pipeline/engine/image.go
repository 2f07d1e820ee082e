package engine

import (
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// leaf is an image in an index. It is opened only on demand, since opening one in
// a registry costs a request.
type leaf struct {
	v1.Descriptor
	open func() (v1.Image, error)
}

// platform returns the platform from the index, or else from the image's config:
// the index of a layout with a single image may omit it.
func (l leaf) platform() (v1.Platform, error) {
	if l.Platform != nil {
		return *l.Platform, nil
	}
	img, err := l.open()
	if err != nil {
		return v1.Platform{}, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return v1.Platform{}, err
	}
	return v1.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant}, nil
}

// leaves returns the images of an index and of its nested indexes: a layout on
// disk often holds just one nested index.
func leaves(index v1.ImageIndex) ([]leaf, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var found []leaf
	for _, d := range manifest.Manifests {
		switch {
		case d.MediaType.IsIndex():
			inner, err := index.ImageIndex(d.Digest)
			if err != nil {
				return nil, err
			}
			more, err := leaves(inner)
			if err != nil {
				return nil, err
			}
			found = append(found, more...)
		case d.MediaType.IsImage():
			found = append(found, leaf{d, func() (v1.Image, error) { return index.Image(d.Digest) }})
		}
	}
	return found, nil
}

// ImageFor returns the image of one platform in an index. It does not open images
// that the index lists for another platform.
func ImageFor(index v1.ImageIndex, p v1.Platform) (v1.Image, error) {
	images, err := leaves(index)
	if err != nil {
		return nil, fmt.Errorf("reading the image index: %w", err)
	}
	var there []string
	for _, l := range images {
		is, err := l.platform()
		if err != nil {
			return nil, fmt.Errorf("reading the image index: %w", err)
		}
		if is.OS == p.OS && is.Architecture == p.Architecture && (p.Variant == "" || is.Variant == "" || p.Variant == is.Variant) {
			img, err := l.open()
			if err != nil {
				return nil, fmt.Errorf("reading the image for %s: %w", p, err)
			}
			return img, nil
		}
		there = append(there, is.String())
	}
	if len(there) == 0 {
		return nil, fmt.Errorf("no image for %s in the index", p)
	}
	return nil, fmt.Errorf("no image for %s in the index, only for %s", p, strings.Join(there, ", "))
}

// SoleImage returns the only image of an OCI layout.
func SoleImage(dir string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	images, err := leaves(index)
	if err != nil {
		return nil, err
	}
	if len(images) != 1 {
		return nil, fmt.Errorf("%d images in %s, want one", len(images), dir)
	}
	return images[0].open()
}
