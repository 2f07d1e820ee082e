package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/report"
)

func newPublish(e env) *cobra.Command {
	var to []string
	cmd := &cobra.Command{
		Use:   "publish",
		Short: "Push the index that check has proven, pull it back and move the tags",
		Long: `Push the index in dist/image to every target: manifests first, then everything
is pulled back and validated, then the tags move. Only images that the report in
dist/report found good are published. Credentials come from docker's
configuration. Standard output carries a reference with a digest for each
target.`,
		Example: `  go run ./ci publish --to ghcr.io/linuxserver/netbox:latest
  go run ./ci publish --to localhost:5000/netbox --to localhost:5000/mirror/netbox:test`,
		Args: noArguments,
	}
	addTo(cmd, &to)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		targets, err := parseTargets(to)
		if err != nil {
			return err
		}
		if len(targets) == 0 {
			return failure.Usagef("publish: no target is given: pass --to REGISTRY/NAME[:TAG]")
		}
		proven, err := report.Load(filepath.Join(e.flags.output, pipeline.CheckReport))
		if err != nil {
			return err
		}
		return e.session(cmd.Context(), func(s *session) error {
			if err := s.tell(s.pipeline.PublishProven(cmd.Context(), targets, proven), ""); err != nil {
				return err
			}
			r := s.pipeline.Report()
			if s.flags.json {
				return s.printJSON(r.Published)
			}
			var text strings.Builder
			for _, tag := range r.Published {
				fmt.Fprintf(&text, "%s@%s\n", tag.Reference, tag.Digest)
			}
			return s.print(text.String())
		})
	}
	return cmd
}
