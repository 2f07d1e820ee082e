package pipeline

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// compare compares the contents of the reported images with those published before.
func (s stages) compare(ctx context.Context, find func(context.Context) (*sbom.Baseline, error)) error {
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

// listPackages lists the packages of a built image, and reports how they differ
// from package_versions.txt.
func (p *Pipeline) listPackages(ctx context.Context, of registry.PlatformImage) error {
	key := registry.Key(of.Platform)
	syft, err := p.syft()
	if err != nil {
		return err
	}
	return p.stage(ctx, report.Key{Stage: "packages", Platform: key}, func(ctx context.Context, log io.Writer) error {
		scan, made, err := p.scan(ctx, syft, of)
		if err != nil {
			return err
		}
		from := ""
		if !made {
			from = ", as listed before for the same image"
		}
		fmt.Fprintf(log, "%d packages%s\n", len(scan.Packages), from)
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
		// Not an error: Debian updates packages at any time.
		if len(changes) > 0 {
			fmt.Fprintf(log, "%s lists others: %s\n", sbom.ListFile, sbom.Counts(changes))
		}
		p.report.Change(func(r *report.Report) { r.Unlisted = changes })
		return nil
	})
}

// ScanDir is the directory under the output directory for images that syft reads.
const ScanDir = "scan"

// scan lists the packages of a built image with syft. made is false when it returns
// the kept scan of the same image.
func (p *Pipeline) scan(ctx context.Context, syft string, of registry.PlatformImage) (scan sbom.Scan, made bool, err error) {
	digest, err := of.Image.Digest()
	if err != nil {
		return scan, false, fmt.Errorf("read the image of %s: %w", registry.Key(of.Platform), err)
	}
	about := sbom.Image{Name: "netbox", Source: SourceURL, Platform: of.Platform, Digest: digest, Time: p.Source.Time}
	return sbom.Cached(syft, about, func() (sbom.Scan, error) {
		idx, err := registry.Index([]registry.PlatformImage{of}, nil)
		if err != nil {
			return sbom.Scan{}, err
		}
		layout := filepath.Join(p.Output, ScanDir, strings.ReplaceAll(registry.Key(of.Platform), "/", "-"))
		defer os.Remove(filepath.Join(p.Output, ScanDir)) // succeeds for the last platform
		defer os.RemoveAll(layout)
		if err := registry.WriteLayout(layout, idx); err != nil {
			return sbom.Scan{}, err
		}
		return sbom.Run(ctx, syft, layout, about)
	})
}

// PackagesOf lists the packages of a built image.
func (p *Pipeline) PackagesOf(ctx context.Context, of registry.PlatformImage) ([]sbom.Package, error) {
	syft, err := p.syft()
	if err != nil {
		return nil, err
	}
	scan, _, err := p.scan(ctx, syft, of)
	return scan.Packages, err
}

// documents returns the results of a scan as documents of the report.
func documents(platform string, scan sbom.Scan) []report.Document {
	name := "netbox-" + strings.ReplaceAll(platform, "/", "-")
	return []report.Document{
		{Name: name + ".spdx.json", Platform: platform, Type: sbom.SPDXType, Text: scan.SPDX},
		{Name: name + ".cdx.json", Platform: platform, Type: sbom.CycloneDXType, Text: scan.CycloneDX},
		{Name: name + ".txt", Platform: platform, Type: sbom.ListType, Text: scan.Table},
	}
}
