package attest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

func (v *verification) findImages() {
	if v.at.Index == nil {
		img := &subject{digest: v.at.Digest, image: v.at.Image, name: "image"}
		if config, err := img.image.ConfigFile(); err == nil {
			img.config, img.name = config, config.OS+"/"+config.Architecture
		}
		v.images = []*subject{img}
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
		img := &subject{name: registry.Key(*d.Platform), digest: d.Digest}
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
	for _, img := range v.images {
		var layers int
		var size int64
		got, err := img.image.Digest()
		if err == nil && got != img.digest {
			err = fmt.Errorf("its manifest is %s, not %s", got, img.digest)
		}
		if err == nil {
			layers, size, err = registry.CheckImage(ctx, img.image)
		}
		if err != nil {
			v.add(Wrong, img.name, whatImage, "%v", err)
			continue
		}
		v.add(Proven, img.name, whatImage, "%s: its manifest, configuration and %d layers (%.1f MB) are what their digests say",
			img.digest, layers, float64(size)/1e6)
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
	before := len(v.result.Lines)
	for _, label := range []string{registry.VersionLabel, registry.RevisionLabel, registry.SourceLabel} {
		first := v.label(label)
		for _, img := range v.images {
			if img.config == nil {
				continue
			}
			if got := img.config.Config.Labels[label]; got != first {
				v.add(Wrong, img.name, whatLabels, "%s is %q, but %q in %s", label, got, first, v.images[0].name)
			}
		}
		if got, ok := v.annotations[label]; ok && got != first {
			v.add(Wrong, of, whatLabels, "%s is %q, but %q in the images", label, got, first)
		}
	}
	switch {
	case len(v.result.Lines) > before:
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
