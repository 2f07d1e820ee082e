package pipeline

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/git"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/report"
)

// index joins images into the index under the output directory and returns its
// digest.
func (p *Pipeline) index(ctx context.Context, images []registry.PlatformImage) (digest v1.Hash, err error) {
	err = p.stage(ctx, report.Key{Stage: "index"}, func(ctx context.Context, log io.Writer) error {
		idx, err := registry.Index(images, annotations(p.version(), p.Source, p.BaseName))
		if err != nil {
			return err
		}
		if err := registry.WriteLayout(filepath.Join(p.Output, "image"), idx); err != nil {
			return err
		}
		digest, err = idx.Digest()
		fmt.Fprintf(log, "%s in %s\n", digest, filepath.Join(p.Output, "image"))
		p.report.Change(func(r *report.Report) { r.Index = digest.String() })
		return err
	})
	return digest, err
}

// annotations returns the annotations of an index.
func annotations(version string, commit git.Checkout, base string) map[string]string {
	base, digest, _ := strings.Cut(base, "@")
	created := ""
	if !commit.Time.IsZero() {
		created = commit.Time.UTC().Format(time.RFC3339)
	}
	return map[string]string{
		registry.TitleLabel:      "netbox",
		registry.VersionLabel:    version,
		registry.RevisionLabel:   commit.Revision(),
		registry.SourceLabel:     SourceURL,
		registry.BaseNameLabel:   base,
		registry.BaseDigestLabel: digest,

		"org.opencontainers.image.created":  created,
		"org.opencontainers.image.licenses": "GPL-3.0-only",
	}
}

// Publish pushes the index under the output directory to the targets. Without
// targets it pushes to a temporary registry on loopback, to test the push. It only
// publishes images that were booted and passed according to the report.
//
// With ByDigest no tag moves. Publish sets Booted, Step and Attach of the options.
func (p *Pipeline) Publish(ctx context.Context, targets []registry.Target, proven report.Report, opts registry.Options) error {
	return p.stage(ctx, report.Key{Stage: "publish"}, func(ctx context.Context, log io.Writer) error {
		idx, err := registry.ReadLayout(ctx, filepath.Join(p.Output, "image"))
		if err != nil {
			return err
		}
		booted, err := bootedDigests(proven)
		if err != nil {
			return err
		}
		if len(targets) == 0 {
			blobs, err := os.MkdirTemp("", Project+"-registry-")
			if err != nil {
				return fmt.Errorf("make room for the registry on loopback: %w", err)
			}
			defer os.RemoveAll(blobs)
			server, err := registry.Loopback(ctx, blobs)
			if err != nil {
				return err
			}
			defer server.Close()
			target, err := registry.ParseTarget(server.Host + "/netbox:latest")
			if err != nil {
				return err
			}
			targets = append(targets, target)
		}
		opts.Booted = booted
		if !opts.ByDigest { // otherwise Merge attaches to the joined index
			opts.Attach = p.Attest.attachments(p.Repo, proven, targets, p.Mask.Hide, log)
		}
		return p.push(ctx, log, idx, targets, opts)
	})
}

// access checks that the targets accept a push, before hours of work.
func (p *Pipeline) access(ctx context.Context, targets []registry.Target, opts registry.Options) error {
	if len(targets) == 0 {
		return nil
	}
	return p.stage(ctx, report.Key{Stage: "access"}, func(ctx context.Context, log io.Writer) error {
		refused, err := registry.CheckPushAccess(ctx, targets, opts)
		for _, r := range refused {
			fmt.Fprintf(log, "%v; it is optional\n", r)
		}
		return err
	})
}

// push publishes an index and reports the result for each target.
func (s stages) push(ctx context.Context, log io.Writer, idx v1.ImageIndex, targets []registry.Target, opts registry.Options) error {
	opts.Step = func(host string) registry.Step { return s.display.Step("publish", host) }
	published, err := registry.Publish(ctx, idx, targets, opts)
	unchanged := 0
	var tags []report.Tag
	var missed []report.Missed
	for _, t := range published {
		reference := t.Target.String()
		if opts.ByDigest {
			reference = t.Target.Repository()
		}
		if t.Err != nil {
			missed = append(missed, report.Missed{Reference: reference, Error: strings.Join(failure.Lines(t.Err), "; ")})
			continue
		}
		if t.Unchanged {
			unchanged++
		}
		tags = append(tags, report.Tag{
			Reference: reference, Digest: t.Digest.String(),
			Blobs: t.Blobs, Bytes: t.Bytes, Unchanged: t.Unchanged,
		})
	}
	switch {
	case len(published) > 0 && unchanged == len(published):
		fmt.Fprintf(log, "all %d targets have it already: nothing to do\n", unchanged)
	case len(missed) > 0:
		fmt.Fprintf(log, "%d targets have it, %d of optional registries do not\n", len(tags), len(missed))
	default:
		fmt.Fprintf(log, "%d targets have it\n", len(tags))
	}
	s.report.Change(func(r *report.Report) {
		r.Published, r.Missed = append(r.Published, tags...), append(r.Missed, missed...)
	})
	return err
}

// bootedDigests returns the digests of the images of a report by registry.Key. It
// fails unless each was booted and passed.
func bootedDigests(r report.Report) (map[string]v1.Hash, error) {
	booted := map[string]v1.Hash{}
	for _, platform := range r.Platforms {
		if !r.Good(report.Key{Stage: "boot", Platform: platform.Platform}, report.Key{Stage: "smoke", Platform: platform.Platform},
			report.Key{Stage: "stop", Platform: platform.Platform}, report.Key{Stage: "graph", Platform: platform.Platform}) {
			return nil, failure.Usagef("publish the image of %s: no check of it has passed: run \"go run ./ci check\" first", platform.Platform)
		}
		hash, err := v1.NewHash(platform.Image)
		if err != nil {
			return nil, fmt.Errorf("read the digest of %s in the report: %w", platform.Platform, err)
		}
		booted[platform.Platform] = hash
	}
	return booted, nil
}

// PublishProven publishes the images that an earlier run checked, as its only stage.
func (p *Pipeline) PublishProven(ctx context.Context, targets []registry.Target, proven report.Report, opts registry.Options) error {
	p.report.Change(func(r *report.Report) { r.Expected = []report.Key{{Stage: "publish"}} })
	return p.Publish(ctx, targets, proven, opts)
}
