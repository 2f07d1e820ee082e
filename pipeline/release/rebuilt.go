package release

import (
	"archive/tar"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/linuxserver/docker-netbox/pipeline/archive"
	"github.com/linuxserver/docker-netbox/pipeline/imagesize"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// CompareImages compares the published image of a platform with a rebuilt one, by
// their layers. When layers differ and withFiles is set, it also compares files.
func CompareImages(ctx context.Context, platform v1.Platform, published v1.ImageIndex, built v1.Image, withFiles bool) (*Rebuilt, error) {
	r := &Rebuilt{Platform: registry.Key(platform)}
	manifest, err := published.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("read the published image: %w", err)
	}
	images := linuxImages(manifest)
	i := slices.IndexFunc(images, func(d v1.Descriptor) bool { return registry.Key(*d.Platform) == r.Platform })
	if i < 0 {
		r.Differs = []string{"everything: none is published"}
		return r, nil
	}
	r.Was = images[i].Digest
	var before, after []imagesize.Layer
	was, err := published.Image(r.Was)
	if err == nil {
		before, err = imagesize.Layers(was)
	}
	if err != nil {
		return nil, fmt.Errorf("read the published image of %s: %w", r.Platform, err)
	}
	if r.Is, err = built.Digest(); err == nil {
		after, err = imagesize.Layers(built)
	}
	if err != nil {
		return nil, fmt.Errorf("read the image of %s: %w", r.Platform, err)
	}
	seen := map[v1.Hash]bool{}
	for _, l := range before {
		seen[l.Content] = true
	}
	for _, l := range after {
		// The layer with the build time always differs.
		if !seen[l.Content] && !strings.Contains(l.From, "/build_version") {
			r.Differs = append(r.Differs, cmp.Or(l.From, short(l.Content.String())))
		}
	}
	if len(after) != len(before) && len(r.Differs) == 0 {
		r.Differs = []string{fmt.Sprintf("the number of layers, %d before and %d now", len(before), len(after))}
	}
	if withFiles && len(r.Differs) > 0 {
		if r.Files, err = differingFiles(ctx, was, built); err != nil {
			return nil, fmt.Errorf("compare the files of the images of %s: %w", r.Platform, err)
		}
	}
	return r, nil
}

// differingFiles returns the paths of files that differ between two images.
func differingFiles(ctx context.Context, was, is v1.Image) ([]string, error) {
	before, err := files(ctx, was)
	if err != nil {
		return nil, err
	}
	after, err := files(ctx, is)
	if err != nil {
		return nil, err
	}
	for path, file := range before {
		if after[path] == file {
			delete(after, path)
		} else {
			after[path] = file
		}
	}
	return slices.Sorted(maps.Keys(after)), nil // only differing files are left
}

// files returns the metadata and content hash of each file of an image, by path.
func files(ctx context.Context, img v1.Image) (map[string]string, error) {
	found := map[string]string{}
	tree := mutate.Extract(img)
	defer tree.Close()
	return found, archive.Walk(tree, func(h *tar.Header, file io.Reader) error {
		content := sha256.New()
		if _, err := io.Copy(content, file); err != nil {
			return err
		}
		found["/"+strings.Trim(h.Name, "/")] = fmt.Sprint(h.Typeflag, h.Mode, h.Uid, h.Gid, h.ModTime.Unix(), h.Linkname, h.PAXRecords, content.Sum(nil))
		return ctx.Err()
	})
}

// Same reports whether the two images are identical.
func (r Rebuilt) Same() bool { return r.Was == r.Is }

// Explained reports whether updated packages of the distribution, which are not
// pinned, explain the difference.
func (r Rebuilt) Explained() bool { return len(r.packages(false)) > 0 }

// packages returns the differing Python packages, or those of the distribution.
func (r Rebuilt) packages(python bool) []sbom.Change {
	return slices.DeleteFunc(slices.Clone(r.Packages), func(c sbom.Change) bool { return (c.Type == "python") != python })
}

// String describes the difference in one line.
func (r Rebuilt) String() string {
	if r.Same() {
		return "it is the same image to the byte"
	}
	if len(r.Differs) == 0 {
		return fmt.Sprintf("it is %s: what it holds is the same, what it says of itself is not", r.Is)
	}
	text := fmt.Sprintf("it is %s: it differs in %s", r.Is, summarize(r.Differs))
	if len(r.Files) > 0 {
		text += fmt.Sprintf("; %d files: %s", len(r.Files), summarize(r.Files))
	}
	if system := r.packages(false); len(system) > 0 {
		text += "; the distribution has changed packages since: " + summarize(system)
	}
	if python := r.packages(true); len(python) > 0 {
		text += "; Python packages differ, which are locked: " + summarize(python)
	}
	return text
}
