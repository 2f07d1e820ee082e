package engine

import (
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// leaf is an image in an index.
type leaf struct {
	v1.Image
	platform v1.Platform // as the index has it, or else the image itself
}

// leaves are the images in an index and in the indexes that it holds: a layout
// on disk often holds just one more index.
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
			img, err := index.Image(d.Digest)
			if err != nil {
				return nil, err
			}
			is := d.Platform
			if is == nil { // as in a layout that holds one image
				config, err := img.ConfigFile()
				if err != nil {
					return nil, err
				}
				is = &v1.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant}
			}
			found = append(found, leaf{img, *is})
		}
	}
	return found, nil
}

// ImageFor returns the image of one platform in an index.
func ImageFor(index v1.ImageIndex, p v1.Platform) (v1.Image, error) {
	images, err := leaves(index)
	if err != nil {
		return nil, fmt.Errorf("reading the image index: %w", err)
	}
	var there []string
	for _, img := range images {
		is := img.platform
		if is.OS == p.OS && is.Architecture == p.Architecture && (p.Variant == "" || is.Variant == "" || p.Variant == is.Variant) {
			return img.Image, nil
		}
		there = append(there, is.String())
	}
	if len(there) == 0 {
		return nil, fmt.Errorf("no image for %s in the index", p)
	}
	return nil, fmt.Errorf("no image for %s in the index, only for %s", p, strings.Join(there, ", "))
}

// SoleImage returns the one image of an OCI layout.
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
	return images[0].Image, nil
}
