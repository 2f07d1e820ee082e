package pipeline

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// packages lists the packages of all images of the index under the output
// directory, and reports how they differ from package_versions.txt and from the
// published images, when those are known.
func (p *Pipeline) packages(ctx context.Context) error {
	err := p.eachPlatform(func(platform v1.Platform) error { return p.listPackages(ctx, platform) })
	if p.Before == nil {
		return err
	}
	if err != nil {
		p.skip("", "the packages are not known", "difference")
		return err
	}
	return p.compare(ctx, p.Before)
}

// skipPackages reports the stages of packages as skipped.
func (p *Pipeline) skipPackages(why string) {
	for _, platform := range p.Platforms {
		p.skip(registry.Key(platform), why, "packages")
	}
	if p.Before != nil {
		p.skip("", why, "difference")
	}
}

// compare compares what the reported images hold with what was held before.
func (s stages) compare(ctx context.Context, find func(context.Context) (*sbom.Before, error)) error {
	return s.stage(ctx, report.Key{Stage: "difference"}, func(ctx context.Context, log io.Writer) error {
		before, err := find(ctx)
		if err != nil {
			return err
		}
		held := map[string]sbom.Contents{}
		for _, platform := range s.report.Report().Platforms {
			held[platform.Platform] = sbom.Contents{Packages: platform.Packages, Groups: platform.Groups}
		}
		d := sbom.Compare(before, held)
		fmt.Fprintln(log, d.Headline())
		s.report.Change(func(r *report.Report) { r.Difference = &d })
		return nil
	})
}

func (p *Pipeline) listPackages(ctx context.Context, platform v1.Platform) error {
	key := registry.Key(platform)
	syft, err := p.syft()
	if err != nil {
		p.skip(key, "there is no syft", "packages")
		return err
	}
	return p.stage(ctx, report.Key{Stage: "packages", Platform: key}, func(ctx context.Context, log io.Writer) error {
		scan, err := p.scan(ctx, syft, p.path("image"), platform)
		if err != nil {
			return err
		}
		fmt.Fprintf(log, "%d packages\n", len(scan.Packages))
		p.report.Platform(key, func(r *report.Platform) { r.Packages = scan.Packages })
		for _, d := range documents(key, scan) {
			p.report.Document(d)
		}
		if key != sbom.ListedPlatform {
			return nil
		}
		file, err := sbom.ReadList(p.Repo)
		if err != nil {
			return err
		}
		changes, err := sbom.Outdated(file, scan.Packages)
		if err != nil {
			return err
		}
		// It is no error: Debian changes packages whenever it likes.
		if len(changes) > 0 {
			fmt.Fprintf(log, "%s lists others: %s\n", sbom.ListFile, sbom.Counts(changes))
		}
		p.report.Change(func(r *report.Report) { r.Unlisted = changes })
		return nil
	})
}

func (p *Pipeline) scan(ctx context.Context, syft, layout string, platform v1.Platform) (sbom.Scan, error) {
	img, err := p.Image(platform)
	if err != nil {
		return sbom.Scan{}, err
	}
	digest, err := img.Digest()
	if err != nil {
		return sbom.Scan{}, fmt.Errorf("read the image of %s: %w", registry.Key(platform), err)
	}
	return sbom.Run(ctx, syft, layout, sbom.Image{
		Name: "netbox", Source: SourceURL, Platform: platform, Digest: digest, Time: p.Source.Time,
	})
}

// PackagesOf lists the packages of a built image that is not joined in an
// index.
func (p *Pipeline) PackagesOf(ctx context.Context, platform v1.Platform) ([]sbom.Package, error) {
	img, err := p.Image(platform)
	if err != nil {
		return nil, err
	}
	syft, err := p.syft()
	if err != nil {
		return nil, err
	}
	idx, err := registry.Index([]registry.PlatformImage{{Platform: platform, Image: img}}, nil)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", Project+"-image-")
	if err != nil {
		return nil, fmt.Errorf("make room for the image of %s: %w", registry.Key(platform), err)
	}
	defer os.RemoveAll(dir)
	layout := filepath.Join(dir, "image")
	if err := registry.WriteLayout(layout, idx); err != nil {
		return nil, err
	}
	scan, err := p.scan(ctx, syft, layout, platform)
	return scan.Packages, err
}

// documents are what a scan of an image finds, as a report keeps them.
func documents(platform string, scan sbom.Scan) []report.Document {
	name := "netbox-" + strings.ReplaceAll(platform, "/", "-")
	return []report.Document{
		{Name: name + ".spdx.json", Platform: platform, Type: sbom.SPDXType, Text: scan.SPDX},
		{Name: name + ".cdx.json", Platform: platform, Type: sbom.CycloneDXType, Text: scan.CycloneDX},
		{Name: name + ".txt", Platform: platform, Type: sbom.ListType, Text: scan.Table},
	}
}
