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
	var to, optional []string
	var plan string
	var byDigest bool
	var sign signFlags
	cmd := &cobra.Command{
		Use:   "publish",
		Short: "Push the index that check has proven, and move the tags",
		Long: `Push the index in dist/image to every target, in phases: all content by digest
to all registries, everything pulled back and compared; then the tags that name
a version, everywhere; then latest. Only images that the report in dist/report
found good are published. What is there already is not sent again.

Attached to the index and its images are the lists of their packages, how they
were built, the report, and signatures when a key is given: see verify.

Credentials come from docker's configuration, or from two variables a registry:
for ghcr.io REGISTRY_USERNAME_GHCR_IO and REGISTRY_PASSWORD_GHCR_IO. Registries
are spoken to in https, those on loopback also in plain http; http:// in front
of a name allows it elsewhere. Standard output carries a reference with a digest
for each target.`,
		Example: `  go run ./ci publish --to ghcr.io/linuxserver/netbox:latest
  go run ./ci publish --to localhost:5000/netbox --to localhost:5000/mirror/netbox:test
  go run ./ci publish --to ghcr.io/me/netbox --to quay.io/me/netbox --optional quay.io
  go run ./ci publish --to ghcr.io/me/netbox --sign-key cosign.key
  go run ./ci publish --plan dist/plan.json --by-digest`,
		Args: noArguments,
	}
	addTo(cmd, &to)
	addOptional(cmd, &optional)
	addStall(cmd, e.flags)
	addPlan(cmd, &plan)
	addSign(cmd, &sign)
	cmd.Flags().BoolVar(&byDigest, "by-digest", false, "push everything, but move no tag: merge joins what several machines pushed")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		e, err := e.withPlan(plan)
		if err != nil {
			return err
		}
		targets, err := e.targets(to, byDigest)
		if err != nil {
			return err
		}
		if len(targets) == 0 {
			return failure.Usagef("publish: no target is given: pass --to REGISTRY/NAME[:TAG], or --plan FILE")
		}
		if e.vouch, err = e.attesting(sign); err != nil {
			return err
		}
		proven, err := report.Load(filepath.Join(e.flags.output, pipeline.CheckReport))
		if err != nil {
			return err
		}
		return e.session(cmd.Context(), func(s *session) error {
			if e.keepTo != nil {
				optional = slices.Concat(e.keepTo.Optional, optional)
			}
			opts := s.publishing(optional)
			opts.ByDigest = byDigest
			if err := s.tell(s.pipeline.PublishProven(cmd.Context(), targets, proven, opts), ""); err != nil {
				return err
			}
			if e.keepTo != nil && !byDigest {
				proven.Missed = s.pipeline.Report().Missed
				if err := e.writeNotes(*e.keepTo, proven); err != nil {
					return err
				}
			}
			return s.printPublished()
		})
	}
	return cmd
}
