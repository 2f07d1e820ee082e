package main

import (
	"github.com/spf13/cobra"

	"github.com/linuxserver/docker-netbox/pipeline"
)

func newGraph(e env) *cobra.Command {
	return &cobra.Command{
		Use:   "graph",
		Short: "Compare the init graph of the image with the documented one",
		Long: `Read the order in which services start out of the built image, check its
structure, and compare it edge by edge with init_diagram in readme-vars.yml.
Standard output carries the graph of the first platform as d2; those of all
platforms are left in dist/graph.`,
		Example: `  go run ./ci graph
  go run ./ci graph --platform linux/amd64 >init.d2`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			platforms, err := pipeline.ParsePlatforms(e.flags.platforms)
			if err != nil {
				return err
			}
			return e.session(cmd.Context(), func(s *session) error {
				if err := s.tell(s.pipeline.GraphAll(cmd.Context()), ""); err != nil {
					return err
				}
				if s.flags.json {
					return s.printJSON(s.pipeline.Report())
				}
				text, err := s.pipeline.Drawing(platforms[0])
				if err != nil {
					return err
				}
				return s.print(text)
			})
		},
	}
}
