package main

import (
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
)

func newBuild(e env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build the image of every platform and join them into one index",
		Long: `Build the image of every platform and join them into one index, written to
dist/image as an OCI layout. Standard output carries its digest.`,
		Example: `  go run ./ci build
  go run ./ci build --platform linux/arm64 --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.session(cmd.Context(), func(s *session) error {
				digest, err := s.pipeline.BuildAll(cmd.Context())
				if err := s.finish(err, ""); err != nil {
					return err
				}
				return s.printIndex(digest)
			})
		},
	}
	cmd.Flags().StringVar(&e.flags.netbox, "netbox", "", "`release` of NetBox to build, one that build/ has a locked list for (default: the pinned one)")
	return cmd
}

// printIndex is the result of a verb that made an index: its digest, or the
// report as JSON.
func (s *session) printIndex(digest v1.Hash) error {
	if s.flags.json {
		return s.printJSON(s.pipeline.Report())
	}
	return s.print(digest.String() + "\n")
}

func (e env) print(text string) error {
	if _, err := fmt.Fprint(e.out, text); err != nil {
		return fmt.Errorf("write the result to standard output: %w", err)
	}
	return nil
}
