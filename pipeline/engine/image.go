package engine

import (
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// ImageFor returns the image of one platform in an index, or in an index that it
// holds: a layout on disk often holds just one more index.
func ImageFor(index v1.ImageIndex, p v1.Platform) (v1.Image, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("reading the image index: %w", err)
	}
	var there []string
	for _, d := range manifest.Manifests {
		switch {
		case d.MediaType.IsIndex():
			inner, err := index.ImageIndex(d.Digest)
			if err != nil {
				return nil, fmt.Errorf("reading the image index: %w", err)
			}
			if img, err := ImageFor(inner, p); err == nil {
				return img, nil
			}
		case d.MediaType.IsImage():
			img, err := index.Image(d.Digest)
			if err != nil {
				return nil, fmt.Errorf("reading the image index: %w", err)
			}
			is := d.Platform
			if is == nil { // as in a layout that holds one image
				config, err := img.ConfigFile()
				if err != nil {
					return nil, fmt.Errorf("reading the image index: %w", err)
				}
				is = config.Platform()
			}
			if is.OS == p.OS && is.Architecture == p.Architecture && (p.Variant == "" || is.Variant == "" || p.Variant == is.Variant) {
				return img, nil
			}
			there = append(there, is.String())
		}
	}
	if len(there) == 0 {
		return nil, fmt.Errorf("no image for %s in the index", p)
	}
	return nil, fmt.Errorf("no image for %s in the index, only for %s", p, strings.Join(there, ", "))
}

// SoleImage returns the one image of an OCI layout, or of the one index in it.
func SoleImage(dir string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	for {
		manifest, err := index.IndexManifest()
		if err != nil {
			return nil, err
		}
		if n := len(manifest.Manifests); n != 1 {
			return nil, fmt.Errorf("%d images in %s, want one", n, dir)
		}
		only := manifest.Manifests[0]
		if !only.MediaType.IsIndex() {
			return index.Image(only.Digest)
		}
		if index, err = index.ImageIndex(only.Digest); err != nil {
			return nil, err
		}
	}
}
