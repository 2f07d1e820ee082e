package release

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/git"
	"github.com/linuxserver/docker-netbox/pipeline/imagesize"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// FindBaseline reads the packages and sizes of the images of a published index, and the
// commits since; nil when nothing is published. The packages come from the list
// attached to an image or, without one, from package_versions.txt at its commit.
func FindBaseline(ctx context.Context, from registry.Source, repo string, published *Published) (*sbom.Baseline, error) {
	if published == nil {
		return nil, nil
	}
	b := &sbom.Baseline{
		Since:  published.Since,
		Images: map[string]sbom.Contents{},
	}
	opened, err := published.Open(ctx, from)
	if err != nil {
		return nil, err
	}
	at := published.Reference
	manifest, err := opened.Index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", at, err)
	}
	for _, d := range linuxImages(manifest) {
		platform := registry.Key(*d.Platform)
		var layers []imagesize.Layer
		img, err := opened.Index.Image(d.Digest)
		if err == nil {
			layers, err = imagesize.Layers(img)
		}
		if err != nil {
			return nil, fmt.Errorf("read the image of %s in %s: %w", platform, at, err)
		}
		held := sbom.Contents{Groups: imagesize.Groups(layers)}
		if held.Packages, err = PackagesOf(ctx, opened, platform, d.Digest, repo, published.Commit); err != nil {
			return nil, fmt.Errorf("read the list of packages of %s in %s: %w", platform, at, err)
		}
		if held.Packages == nil {
			b.Unknown = append(b.Unknown, fmt.Sprintf("packages of %s: the published image has no list of them", platform))
		}
		b.Images[platform] = held
	}
	var known bool
	if b.Commits, known, err = git.Commits(ctx, repo, published.Commit); err != nil {
		return nil, err
	}
	if !known {
		b.Unknown = append(b.Unknown, fmt.Sprintf("commits: the published one, %s, does not come before this one here", cmp.Or(short(published.Commit), "which has no name")))
	}
	return b, nil
}

// Open opens the published index by its digest, because its tag may have moved.
func (p Published) Open(ctx context.Context, from registry.Source) (registry.Opened, error) {
	at, _, _ := strings.Cut(p.Reference, "@")
	at += "@" + p.Digest
	opened, err := from.Open(ctx, at)
	switch {
	case err != nil:
		return opened, fmt.Errorf("%w: if it was removed meanwhile, run it again", err)
	case opened.Index == nil:
		return opened, fmt.Errorf("read %s: it is no index", at)
	}
	return opened, nil
}

// linuxImages returns the descriptors of an index's images. Older indexes also have
// entries for attestations, with an unknown platform.
func linuxImages(manifest *v1.IndexManifest) []v1.Descriptor {
	return slices.DeleteFunc(slices.Clone(manifest.Manifests), func(d v1.Descriptor) bool {
		return !d.MediaType.IsImage() || d.Platform == nil || d.Platform.OS != "linux"
	})
}

// PackagesOf reads the packages of a published image; nil when unknown. When no list
// is attached, it reads package_versions.txt at commit, unless commit is "".
func PackagesOf(ctx context.Context, store registry.Store, platform string, image v1.Hash, repo, commit string) ([]sbom.Package, error) {
	packages, err := attached(ctx, store, image)
	if err != nil || packages != nil || platform != sbom.ListedPlatform {
		return packages, err
	}
	file, _, err := git.File(ctx, repo, strings.TrimSuffix(commit, "-dirty"), sbom.ListFile)
	if err != nil || file == nil {
		return nil, err
	}
	if packages, err = sbom.ParseTable(file); err != nil {
		return nil, nil // an older format, which is not compared
	}
	return packages, nil
}

// attached reads the list of packages attached to an image; nil when there is none.
func attached(ctx context.Context, store registry.Store, image v1.Hash) ([]sbom.Package, error) {
	referrers, err := store.Referrers(image)
	if err != nil {
		return nil, err
	}
	for _, d := range referrers {
		document, err := store.ByDigest(d.Digest)
		if err != nil {
			return nil, err
		}
		manifest, err := document.Manifest()
		if err != nil {
			return nil, err
		}
		if registry.ArtifactType(manifest) != sbom.CycloneDXType { // not every registry lists the type
			continue
		}
		if len(manifest.Layers) != 1 {
			return nil, fmt.Errorf("%s has %d files, not one", d.Digest, len(manifest.Layers))
		}
		text, err := registry.ReadBlob(ctx, document, manifest.Layers[0])
		if err != nil {
			return nil, err
		}
		return sbom.ParseCycloneDX(text)
	}
	return nil, nil
}
