package main

import (
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/report"
)

func newPublish(e env) *cobra.Command {
	var byDigest bool
	cmd := &cobra.Command{
		Use:   "publish",
		Short: "Push the checked index, and move the tags",
		Long: `Push the index in dist/image to every target in three phases: all content by
digest, pulled back and compared; the tags that name a version; latest. Each
phase finishes on every registry before the next one starts. Only images that
passed the check in dist/report are published. Content that is already there is
not sent again.

The package lists, the provenance, the report and, with a key, signatures are
attached to the index and its images: see verify.

A tag that names another image already is refused, unless --move allows it. Only
latest moves without that and, with --plan, the tags that name the newest build
of a NetBox: docs/releases.md has the list.

Credentials come from docker's configuration, or from two variables for each
registry: REGISTRY_USERNAME_GHCR_IO and REGISTRY_PASSWORD_GHCR_IO for ghcr.io.
Registries are reached over https, on loopback also over http; http:// before
the name allows http elsewhere. Standard output carries a reference with digest
for each target.`,
		Example: `  go run ./ci publish --to ghcr.io/linuxserver/netbox:latest
  go run ./ci publish --to localhost:5000/netbox --to localhost:5000/mirror/netbox:test
  go run ./ci publish --to ghcr.io/me/netbox --to quay.io/me/netbox --optional quay.io
  go run ./ci publish --to ghcr.io/me/netbox --sign-key cosign.key
  go run ./ci publish --plan dist/plan.json --by-digest`,
	}
	cmd.Flags().BoolVar(&byDigest, "by-digest", false, "push everything but move no tag: merge joins what several machines pushed")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		e, err := e.loadPlan()
		if err != nil {
			return err
		}
		targets, err := e.targets(byDigest)
		if err != nil {
			return err
		}
		if len(targets) == 0 {
			return failure.Usagef("publish: there is no target: pass --to REGISTRY/NAME[:TAG], or --plan FILE")
		}
		if e.attest, err = e.attesting(); err != nil {
			return err
		}
		proven, err := report.Load(filepath.Join(e.flags.output, pipeline.CheckReport))
		if err != nil {
			return err
		}
		return e.session(cmd.Context(), func(s *session) error {
			optional := e.flags.optional
			if e.plan != nil {
				optional = slices.Concat(e.plan.Optional, optional)
			}
			opts := s.publishing(optional)
			opts.ByDigest = byDigest
			if err := s.finish(s.pipeline.PublishProven(cmd.Context(), targets, proven, opts), ""); err != nil {
				return err
			}
			if e.plan != nil && !byDigest {
				proven.Missed = s.pipeline.Report().Missed
				if err := e.writeNotes(*e.plan, proven); err != nil {
					return err
				}
			}
			return s.printPublished()
		})
	}
	return cmd
}
