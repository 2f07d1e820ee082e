package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/linuxserver/docker-netbox/pipeline"
)

func newBoot(e env) *cobra.Command {
	return &cobra.Command{
		Use:   "boot",
		Short: "Boot the image of every platform and check NetBox",
		Long: `Build the image of every platform, boot it against a real PostgreSQL and Redis,
check everything NetBox's users rely on, and stop it. The report and the logs of
the containers are written to dist/boot. Standard output carries one line for
each check.`,
		Example: `  go run ./ci boot
  go run ./ci boot --platform linux/amd64 --timeout 3m`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.session(cmd.Context(), func(s *session) error {
				err := s.finish(s.pipeline.BootAll(cmd.Context()), pipeline.BootReport)
				r := s.pipeline.Report()
				var text strings.Builder
				for _, p := range r.Platforms {
					for _, c := range p.Smoke {
						fmt.Fprintf(&text, "%s %s %s: %s\n", p.Platform, c.Verdict(), c.Name, c.Got)
					}
				}
				return errors.Join(err, s.printResult(r, text.String()))
			})
		},
	}
}
