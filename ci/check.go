package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/release"
)

func newCheck(e env) *cobra.Command {
	var to, optional []string
	var plan string
	cmd := &cobra.Command{
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
		Args: noArguments,
	}
	addTo(cmd, &to)
	addOptional(cmd, &optional)
	addStall(cmd, e.flags)
	addMove(cmd, e.flags)
	addPlan(cmd, &plan)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		targets, err := parseTargets(to)
		if err != nil {
			return err
		}
		e, err := e.withPlan(plan)
		if err != nil {
			return err
		}
		return e.session(cmd.Context(), func(s *session) error {
			digest, err := s.pipeline.Check(cmd.Context(), targets, s.publishing(optional))
			diff := diffOf(err)
			err = s.finish(err, pipeline.CheckReport)
			fmt.Fprint(s.err, diff)
			if err != nil {
				return err
			}
			return s.printIndex(digest)
		})
	}
	return cmd
}

// addTo adds the flag that names where an index goes.
func addTo(cmd *cobra.Command, to *[]string) {
	cmd.Flags().StringArrayVar(to, "to", nil, "`REGISTRY/NAME[:TAG]` to push the index to, may be repeated")
}

// addOptional adds the flag that names registries that may fail.
func addOptional(cmd *cobra.Command, optional *[]string) {
	cmd.Flags().StringArrayVar(optional, "optional", nil, "`REGISTRY` that may fail: the failure is reported, but the run passes; may be repeated")
}

// addStall adds the flags of verbs that talk to registries.
func addStall(cmd *cobra.Command, f *flags) {
	cmd.Flags().DurationVar(&f.stall, "stall", registry.DefaultStall, "how long a connection to a registry may transfer nothing before it counts as dropped")
	cmd.Flags().StringVar(&f.ca, "ca", "", "`file` with certificates of authorities that registries are trusted by, besides the machine's")
}

// addMove adds the flags that allow a publish to be less strict.
func addMove(cmd *cobra.Command, f *flags) {
	cmd.Flags().BoolVar(&f.move, "move", false, "also move tags that name one image, such as v4.7.3-ls12")
	cmd.Flags().StringVar(&f.attach, "attach", "required", "`required`, or optional: publish without attachments where a registry refuses them")
}

// addPlan adds the flag that names a plan to keep to.
func addPlan(cmd *cobra.Command, plan *string) {
	cmd.Flags().StringVar(plan, "plan", "", "`file` printed by \"release --dry-run --json\": use its version and base")
}

// withPlan is e with the plan of a file to keep to, if one is named.
func (e env) withPlan(file string) (env, error) {
	if file == "" {
		return e, nil
	}
	plan, err := release.Load(file)
	return e.planned(plan), err
}

func parseTargets(names []string) ([]registry.Target, error) {
	var targets []registry.Target
	for _, name := range names {
		t, err := registry.ParseTarget(name)
		if err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	return targets, nil
}
