package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/filelock"
)

// cleanResult is the result as JSON.
type cleanResult struct {
	Removed []string `json:"removed"`
	Bytes   int64    `json:"bytes"` // of disk that this freed
}

func newClean(e env) *cobra.Command {
	var cache bool
	cmd := &cobra.Command{
		Use:   "clean",
		Short: "Remove what the pipeline wrote",
		Long: `Remove the output of the pipeline. With --cache, also remove its cache: base
images, build cache and built tools, and print how much disk that freed. Waits
for runs that use them. Standard output carries the removed paths.`,
		Example: `  go run ./ci clean
  go run ./ci clean --cache`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			mode := filelock.Shared
			output := e.flags.output
			// Only what the verbs write: the directory may contain other files.
			var paths []string
			for _, name := range []string{"image", "graph", "docs", notesDir, pipeline.CheckReport, pipeline.BootReport, pipeline.ScanDir} {
				paths = append(paths, filepath.Join(output, name))
			}
			if cache {
				mode = filelock.Exclusive
				paths = append(paths, e.flags.cache)
			}
			unlock, err := e.lock(cmd.Context(), mode)
			if err != nil {
				return err
			}
			defer unlock()
			removed := []string{}
			var freed int64
			text := ""
			for _, path := range paths {
				if _, err := os.Lstat(path); err != nil {
					continue
				}
				size := diskUse(path)
				if err := os.RemoveAll(path); err != nil {
					return fmt.Errorf("remove %s: %w: end what uses it and run clean again", path, err)
				}
				removed, freed, text = append(removed, path), freed+size, text+path+"\n"
			}
			fmt.Fprintf(e.err, "freed %.1f MB\n", float64(freed)/1e6)
			return e.printResult(cleanResult{removed, freed}, text)
		},
	}
	cmd.Flags().BoolVar(&cache, "cache", false, "remove the cache too")
	return cmd
}

// diskUse returns the disk space in bytes of a file or directory. It counts a file
// with several hard links once and skips what it cannot read.
func diskUse(path string) (bytes int64) {
	seen := map[uint64]bool{}
	_ = filepath.WalkDir(path, func(file string, _ fs.DirEntry, _ error) error {
		var stat unix.Stat_t
		if unix.Lstat(file, &stat) == nil && !seen[stat.Ino] {
			seen[stat.Ino] = true
			bytes += stat.Blocks * 512
		}
		return nil // skip what cannot be read
	})
	return bytes
}
