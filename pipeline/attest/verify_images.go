package attest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

// platformImage is one image of the index.
type platformImage struct {
	name   string // registry.Key
	digest v1.Hash
	image  v1.Image
	config *v1.ConfigFile // nil when it cannot be read
}

func (v *verification) findImages() {
	if v.at.Index == nil {
		img := &platformImage{digest: v.at.Digest, image: v.at.Image, name: "image"}
		if config, err := img.image.ConfigFile(); err == nil {
			img.config, img.name = config, config.OS+"/"+config.Architecture
		}
		v.images = []*platformImage{img}
		return
	}
	manifest, err := v.at.Index.IndexManifest()
	if err != nil {
		v.add(Wrong, "index", whatIndex, "it cannot be read: %v", err)
		return
	}
	v.annotations = manifest.Annotations
	var names []string
	good := true
	for _, d := range manifest.Manifests {
		if !d.MediaType.IsImage() || d.Platform == nil || d.Platform.OS == "" || d.Platform.Architecture == "" || d.Platform.OS == "unknown" {
			good = false
			v.add(Wrong, "index", whatIndex, "its entry %s (%s) is not the image of a platform", d.Digest, d.Platform)
			continue
		}
		img := &platformImage{name: registry.Key(*d.Platform), digest: d.Digest}
		if slices.Contains(names, img.name) {
			good = false
			v.add(Wrong, img.name, whatIndex, "the index has two images for it")
			continue
		}
		names = append(names, img.name)
		if img.image, err = v.at.Index.Image(d.Digest); err != nil {
			v.add(Wrong, img.name, whatImage, "%s cannot be read: %v", d.Digest, err)
			continue
		}
		if img.config, err = img.image.ConfigFile(); err == nil {
			if p := img.config.Platform(); p == nil || !p.Equals(*d.Platform) {
				v.add(Wrong, img.name, whatImage, "it says that it is for %s", p)
			}
		}
		v.images = append(v.images, img)
	}
	for _, name := range v.demand.Platforms {
		if !slices.Contains(names, name) {
			good = false
			v.add(Missing, name, whatIndex, "the index has no image for it")
		}
	}
	if good {
		v.add(Proven, "index", whatIndex, "it has an image for %s, and nothing else", strings.Join(names, " and for "))
	}
}

// checkImages reads everything under the images.
func (v *verification) checkImages(ctx context.Context) {
	var g errgroup.Group
	g.SetLimit(4)
	type read struct {
		blobs int
		bytes int64
		errs  []error
	}
	found := make([]read, len(v.images))
	for i, img := range v.images {
		manifest, err := img.image.Manifest()
		if err != nil {
			found[i].errs = []error{err}
			continue
		}
		if got, err := img.image.Digest(); err != nil || got != img.digest {
			found[i].errs = []error{fmt.Errorf("its manifest is %s, not %s (%v)", got, img.digest, err)}
			continue
		}
		blobs := append(slices.Clone(manifest.Layers), manifest.Config)
		found[i].errs = make([]error, len(blobs))
		for j, b := range blobs {
			found[i].blobs++
			found[i].bytes += b.Size
			g.Go(func() error {
				found[i].errs[j] = registry.CheckBlob(ctx, img.image, b)
				return nil
			})
		}
	}
	_ = g.Wait() // the errors are in found
	for i, img := range v.images {
		if err := errors.Join(found[i].errs...); err != nil {
			v.add(Wrong, img.name, whatImage, "%v", err)
			continue
		}
		v.add(Proven, img.name, whatImage, "%s: its manifest, configuration and %d layers (%.1f MB) are what their digests say",
			img.digest, found[i].blobs-1, float64(found[i].bytes)/1e6)
	}
}

// label is what the images say, "" when none could be read.
func (v *verification) label(name string) string {
	for _, img := range v.images {
		if img.config != nil {
			return img.config.Config.Labels[name]
		}
	}
	return ""
}

func (v *verification) checkLabels() {
	if len(v.images) == 0 {
		return
	}
	of := "index"
	if v.at.Index == nil {
		of = v.images[0].name
	}
	good := true
	for _, label := range []string{registry.VersionLabel, registry.RevisionLabel, registry.SourceLabel} {
		first := v.label(label)
		for _, img := range v.images {
			if img.config == nil {
				continue
			}
			if got := img.config.Config.Labels[label]; got != first {
				good = false
				v.add(Wrong, img.name, whatLabels, "%s is %q, but %q in %s", label, got, first, v.images[0].name)
			}
		}
		if got, ok := v.annotations[label]; ok && got != first {
			good = false
			v.add(Wrong, of, whatLabels, "%s is %q, but %q in the images", label, got, first)
		}
	}
	switch {
	case !good:
	case v.label(registry.VersionLabel) == "" || v.label(registry.RevisionLabel) == "":
		v.add(Unproven, of, whatLabels, "the images do not say which version and commit they are of")
	default:
		base := ""
		if v.annotations[registry.BaseNameLabel] != "" {
			base = ", base " + v.annotations[registry.BaseNameLabel]
		}
		v.add(Proven, of, whatLabels, "everything says version %s, commit %s%s", v.label(registry.VersionLabel), v.label(registry.RevisionLabel), base)
	}
}
