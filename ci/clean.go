package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/filelock"
)

// cleanResult is the result as JSON.
type cleanResult struct {
	Removed []string `json:"removed"`
}

func newClean(e env) *cobra.Command {
	var cache bool
	cmd := &cobra.Command{
		Use:   "clean",
		Short: "Remove what the pipeline wrote",
		Long: `Remove the output of the pipeline. With --cache, also remove its cache: base
images, build cache and built tools. Waits for runs that use them. Standard
output carries the removed paths.`,
		Example: `  go run ./ci clean
  go run ./ci clean --cache`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := cacheDir()
			if err != nil {
				return err
			}
			mode := filelock.Shared
			output := e.flags.output
			// Only what the verbs write: the directory may be anyone's.
			var paths []string
			for _, name := range []string{"image", "graph", "docs", notesDir, pipeline.CheckReport, pipeline.BootReport} {
				paths = append(paths, filepath.Join(output, name))
			}
			if cache {
				mode = filelock.Exclusive
				paths = append(paths, dir)
			}
			unlock, err := e.lock(cmd.Context(), dir, mode)
			if err != nil {
				return err
			}
			defer unlock()
			removed := []string{}
			for _, path := range paths {
				if _, err := os.Lstat(path); err != nil {
					continue
				}
				if err := os.RemoveAll(path); err != nil {
					return fmt.Errorf("remove %s: %w: end what uses it and run clean again", path, err)
				}
				removed = append(removed, path)
			}
			if e.flags.json {
				return e.printJSON(cleanResult{removed})
			}
			for _, path := range removed {
				if err := e.print(path + "\n"); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&cache, "cache", false, "remove the cache too")
	return cmd
}
