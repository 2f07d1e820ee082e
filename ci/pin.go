package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

// pinResult is the result as JSON.
type pinResult struct {
	NetBox string `json:"netbox"`
}

func newPin(e env) *cobra.Command {
	var netbox string
	cmd := &cobra.Command{
		Use:   "pin",
		Short: "Pin another release of NetBox, and lock its packages",
		Long: `Pin another release of NetBox in versions.yml, keep the previous one as the
release that upgrades are tested from, and run build/lock to write the locked
package lists. Commit the result. Standard output carries the pinned release.
Needs uv.`,
		Example: `  go run ./ci pin --netbox 4.7.4`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if netbox == "" {
				return failure.Usagef("pin: no release is given: pass --netbox RELEASE")
			}
			file := filepath.Join(e.flags.repo, versions.File)
			text, err := os.ReadFile(file)
			if err != nil {
				return failure.Usagef("read the pinned versions: %w: run it at the root of the repository, or name that with --repo", err)
			}
			pinned, err := release.Pin(text, netbox, time.Now())
			if err != nil {
				return err
			}
			if _, err := exec.LookPath("uv"); err != nil {
				return failure.Usagef("pin NetBox %s: build/lock needs uv: install it with \"python3 -m pip install uv\"", netbox)
			}
			undo, err := keep(file, filepath.Join(e.flags.repo, "build", "*.txt"))
			if err != nil {
				return fmt.Errorf("pin NetBox %s: %w", netbox, err)
			}
			if err := os.WriteFile(file, pinned, 0o644); err != nil {
				return fmt.Errorf("pin NetBox %s: %w", netbox, err)
			}
			lock := exec.CommandContext(cmd.Context(), filepath.Join(e.flags.repo, "build", "lock"))
			lock.Stdout, lock.Stderr = e.err, e.err
			if err := lock.Run(); err != nil {
				return errors.Join(fmt.Errorf("pin NetBox %s: build/lock: %w: is there such a release? its own words stand above", netbox, err), undo())
			}
			if e.flags.json {
				return e.printJSON(pinResult{NetBox: netbox})
			}
			return e.print(fmt.Sprintf("%s pins NetBox %s\n", versions.File, netbox))
		},
	}
	cmd.Flags().StringVar(&netbox, "netbox", "", "`release` to pin")
	return cmd
}

// keep remembers the content of files; undo writes it back. Half a pin is none.
func keep(patterns ...string) (undo func() error, err error) {
	content := map[string][]byte{}
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if content[file], err = os.ReadFile(file); err != nil {
				return nil, err
			}
		}
	}
	return func() error {
		var errs []error
		for file, text := range content {
			errs = append(errs, os.WriteFile(file, text, 0o644))
		}
		return errors.Join(errs...)
	}, nil
}
