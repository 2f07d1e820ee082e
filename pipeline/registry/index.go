package registry

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/linuxserver/docker-netbox/pipeline/platform"
)

// PlatformImage is the image of one platform.
type PlatformImage struct {
	Platform v1.Platform
	Image    v1.Image
	Digest   v1.Hash // as Images finds it; zero elsewhere
}

// Names of the OCI image specification, for the annotations of an index and the
// labels of an image.
const (
	TitleLabel      = "org.opencontainers.image.title"
	VersionLabel    = "org.opencontainers.image.version"
	RevisionLabel   = "org.opencontainers.image.revision"
	SourceLabel     = "org.opencontainers.image.source"
	BaseNameLabel   = "org.opencontainers.image.base.name"
	BaseDigestLabel = "org.opencontainers.image.base.digest"
)

// Key names a platform without its variant: "linux/arm64".
func Key(p v1.Platform) string { return p.OS + "/" + p.Architecture }

// Index assembles the OCI index of images, one manifest a platform, in the
// order of the platforms' names: the same images give the same digest.
//
// An image whose own configuration names another platform is refused, the
// variant included: clients choose by the index but check the configuration.
// Annotations without a value are left out.
func Index(images []PlatformImage, annotations map[string]string) (v1.ImageIndex, error) {
	if len(images) == 0 {
		return nil, errors.New("assembling an index: no image given")
	}
	images = slices.Clone(images)
	slices.SortFunc(images, func(a, b PlatformImage) int {
		return strings.Compare(platform.Canonical(a.Platform).String(), platform.Canonical(b.Platform).String())
	})

	var adds []mutate.IndexAddendum
	seen := map[string]bool{}
	for _, img := range images {
		platform := platform.Canonical(img.Platform)
		if seen[platform.String()] {
			return nil, fmt.Errorf("assembling an index: two images for %s", platform)
		}
		seen[platform.String()] = true

		config, err := img.Image.ConfigFile()
		if err != nil {
			return nil, fmt.Errorf("reading the configuration of the image for %s: %w", platform, err)
		}
		if got := config.Platform(); got == nil || !got.Equals(platform) {
			return nil, fmt.Errorf("assembling an index: the image for %s says it is for %s", platform, got)
		}
		adds = append(adds, mutate.IndexAddendum{
			Add:        plain{img.Image},
			Descriptor: v1.Descriptor{Platform: &platform},
		})
	}
	index := mutate.AppendManifests(empty.Index, adds...)
	annotations = maps.Clone(annotations)
	maps.DeleteFunc(annotations, func(_, value string) bool { return value == "" })
	if len(annotations) > 0 {
		index = mutate.Annotations(index, annotations).(v1.ImageIndex)
	}
	return index, nil
}

// plain is an image that is no artifact: go-containerregistry would put the
// type of its configuration into the index as artifactType, which no other tool
// does, and which registries older than OCI 1.1 refuse.
type plain struct{ v1.Image }

// ArtifactType is what go-containerregistry asks before it guesses.
func (plain) ArtifactType() (string, error) { return "", nil }

// Images returns the images of an index with their platforms. Whatever is not an
// image of a known platform is an error: attestations are referrers, never
// entries.
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
		img, err := imageIn(idx, d.Digest)
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

// imageIn is an image of an index, whose manifest is what its digest says: not
// every source of an index compares the two.
func imageIn(idx v1.ImageIndex, digest v1.Hash) (v1.Image, error) {
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
