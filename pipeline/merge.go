package pipeline

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/progress"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/report"
)

// MergeOptions configure Merge. Of Options it uses only Repo, BaseName, Version,
// Source, Before, Attest, Mask and Now.
type MergeOptions struct {
	Options
	Proven  []report.Report // of the runs that built and checked the images
	Images  string          // repository that holds the images by digest
	From    registry.Source
	Targets []registry.Target
	Publish registry.Options // Booted, Step and Attach are set here
}

// Merge joins images that separate runs built, booted and pushed into an index,
// and publishes it. The runs must have the same commit, version and base. Merge
// returns their reports as one, with its own stages added.
func Merge(ctx context.Context, opts MergeOptions, display *progress.Display) (report.Report, error) {
	merged, booted, err := mergeReports(opts)
	if err != nil {
		return report.Report{}, err
	}
	s := stages{display, opts.Now, report.NewBuilder(merged, opts.Now)}
	var idx v1.ImageIndex
	err = s.stage(ctx, report.Key{Stage: "merge"}, func(ctx context.Context, log io.Writer) error {
		images, err := opts.From.Fetch(ctx, opts.Images, booted)
		if err != nil {
			return err
		}
		for _, img := range images {
			if err := checkLabels(img, opts); err != nil {
				return err
			}
		}
		if idx, err = registry.Index(images, annotations(opts.Version, opts.Source, opts.BaseName)); err != nil {
			return err
		}
		digest, err := idx.Digest()
		fmt.Fprintf(log, "%s of %d images in %s\n", digest, len(images), opts.Images)
		s.report.Change(func(r *report.Report) { r.Index = digest.String() })
		return err
	})
	if err == nil && opts.Baseline != nil {
		err = s.compare(ctx, opts.Baseline)
	}
	if err != nil {
		return s.Report(), err
	}
	err = s.stage(ctx, report.Key{Stage: "publish"}, func(ctx context.Context, log io.Writer) error {
		opts.Publish.Booted = booted
		opts.Publish.Attach = opts.Attest.attachments(opts.Repo, withCheckTimes(s.report.Report(), opts.Proven), opts.Targets, opts.Mask.Hide, log)
		return s.push(ctx, log, idx, opts.Targets, opts.Publish)
	})
	return s.Report(), err
}

// withCheckTimes returns a merged report with the times of the checks: from the start of
// the first to the end of the last. It is the same however often they are merged.
func withCheckTimes(merged report.Report, proven []report.Report) report.Report {
	end := func(r report.Report) time.Time { return r.Started.Add(time.Duration(r.Seconds * float64(time.Second))) }
	merged.Started = slices.MinFunc(proven, func(a, b report.Report) int { return a.Started.Compare(b.Started) }).Started
	merged.Seconds = end(slices.MaxFunc(proven, func(a, b report.Report) int { return end(a).Compare(end(b)) })).Sub(merged.Started).Seconds()
	return merged
}

// mergeReports merges the reports of single platforms into one, and returns the digests
// of the images that passed. It fails when the reports do not match.
func mergeReports(opts MergeOptions) (report.Report, map[string]v1.Hash, error) {
	merged := report.Report{
		Project: Project, Commit: opts.Source.Revision(), Base: report.Base{Name: opts.BaseName, Digests: map[string]string{}},
		Expected: []report.Key{{Stage: "merge"}, {Stage: "publish"}},
	}
	booted := map[string]v1.Hash{}
	for _, r := range opts.Proven {
		found, err := bootedDigests(r)
		if err != nil {
			return merged, nil, err
		}
		platforms := slices.Sorted(maps.Keys(found))
		switch {
		case len(platforms) == 0:
			return merged, nil, failure.Usagef("merge: a report has no image: pass the reports that \"go run ./ci check --platform PLATFORM\" leaves in dist/report")
		case r.Commit != merged.Commit:
			return merged, nil, failure.Usagef("merge %s: its image is of commit %s, not of %s: build all images from one commit", platforms, r.Commit, merged.Commit)
		case r.Base.Name != opts.BaseName:
			return merged, nil, failure.Usagef("merge %s: its image was built on %s, not on %s: build all images on one base", platforms, r.Base.Name, opts.BaseName)
		case merged.Version != "" && r.Version != merged.Version:
			return merged, nil, failure.Usagef("merge %s: its image is of NetBox %s, another one of %s: build all images of one release", platforms, r.Version, merged.Version)
		}
		merged.Version, merged.Engine = r.Version, r.Engine
		for platform, digest := range found {
			if other, twice := booted[platform]; twice && other != digest {
				return merged, nil, failure.Usagef("merge %s: two reports are for different images, %s and %s: pass one report for each platform", platform, other, digest)
			}
			booted[platform] = digest
		}
		maps.Copy(merged.Base.Digests, r.Base.Digests)
		merged.Platforms = append(merged.Platforms, r.Platforms...)
		for _, s := range r.Stages {
			if s.Platform != "" {
				merged.Stages = append(merged.Stages, s)
				merged.Expected = append(merged.Expected, s.Key)
			}
		}
		merged.Logs = append(merged.Logs, r.Logs...)
		merged.Documents = append(merged.Documents, r.Documents...)
		merged.Unlisted = append(merged.Unlisted, r.Unlisted...)
	}
	if len(booted) == 0 {
		return merged, nil, failure.Usagef("merge: there is no report: pass the directory of the reports with --reports")
	}
	return merged, booted, nil
}

// checkLabels checks that the labels of an image match the plan.
func checkLabels(img registry.PlatformImage, opts MergeOptions) error {
	config, err := img.Image.ConfigFile()
	if err != nil {
		return fmt.Errorf("read the labels of %s: %w", img.Platform, err)
	}
	for label, want := range map[string]string{
		registry.VersionLabel:  opts.Version,
		registry.RevisionLabel: opts.Source.Revision(),
	} {
		if got := config.Config.Labels[label]; got != want {
			return fmt.Errorf("merge %s: its label %s is %q, want %q: build it with this plan", img.Platform, label, got, want)
		}
	}
	return nil
}
