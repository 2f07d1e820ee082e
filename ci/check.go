package main

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/release"
)

func newCheck(e env) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Build, boot and check the image of every platform: the main verb",
		Long: `Build the image of every platform, compare its init graph with the documented
one, boot it against a real PostgreSQL and Redis, check what NetBox's users rely
on, join the images into one index, push it to --to or to a temporary local
registry, pull it back, and compare README.md with readme-vars.yml. The index is
written to dist/image, the report to dist/report. Standard output carries the
digest of the index.`,
		Example: `  go run ./ci check
  go run ./ci check --platform linux/amd64
  go run ./ci check --to localhost:5000/netbox:test`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			targets, err := registry.ParseTargets(e.flags.to)
			if err != nil {
				return err
			}
			e, err := e.loadPlan()
			if err != nil {
				return err
			}
			return e.session(cmd.Context(), func(s *session) error {
				digest, err := s.check(cmd.Context(), targets, s.flags.optional)
				if err != nil {
					return err
				}
				return s.printResult(s.pipeline.Report(), digest.String()+"\n")
			})
		},
	}
}

// check runs the check, publishes to the targets and writes the report.
func (s *session) check(ctx context.Context, targets []registry.Target, optional []string) (v1.Hash, error) {
	digest, err := s.pipeline.Check(ctx, targets, s.publishing(optional))
	diff := diffOf(err)
	err = s.finish(err, pipeline.CheckReport)
	fmt.Fprint(s.err, diff)
	return digest, err
}

// loadPlan returns e with the plan of the flag --plan, if it is set.
func (e env) loadPlan() (env, error) {
	if e.flags.plan == "" {
		return e, nil
	}
	plan, err := release.Load(e.flags.plan)
	return e.withPlan(plan), err
}
