package main

import "github.com/spf13/cobra"

func newBuild(e env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build the image of every platform and join them into one index",
		Long: `Build the image of every platform and join them into one index, written to
dist/image as an OCI layout. Standard output carries its digest.`,
		Example: `  go run ./ci build
  go run ./ci build --platform linux/arm64 --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.session(cmd.Context(), func(s *session) error {
				_, digest, err := s.pipeline.BuildAll(cmd.Context())
				if err := s.finish(err, ""); err != nil {
					return err
				}
				return s.printResult(s.pipeline.Report(), digest.String()+"\n")
			})
		},
	}
	cmd.Flags().StringVar(&e.flags.netbox, "netbox", "", "`release` of NetBox to build, one that build/ has a locked list for (default: the pinned one)")
	return cmd
}
