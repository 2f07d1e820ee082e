package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/readme"
)

func newReadme(e env) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "readme",
		Short: "Write README.md from readme-vars.yml",
		Long: `Write README.md from readme-vars.yml. With --check nothing is written: standard
output carries what would change as a unified diff, and the exit status is 1
when that is anything.`,
		Example: `  go run ./ci readme
  go run ./ci readme --check`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if check {
				have, want, err := pipeline.Readme(e.flags.repo)
				if err != nil {
					return err
				}
				diff := readme.Diff(have, want)
				if err := e.printReadme(readmeResult{Changed: diff != "", Diff: diff}, diff); err != nil || diff == "" {
					return err
				}
				return &pipeline.ReadmeDrift{Diff: diff}
			}
			changed, err := pipeline.WriteReadme(e.flags.repo)
			if err != nil {
				return err
			}
			text := fmt.Sprintf("%s was up to date\n", readme.Page)
			if changed {
				text = fmt.Sprintf("%s written\n", readme.Page)
			}
			return e.printReadme(readmeResult{Changed: changed}, text)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "only say what would change")
	return cmd
}

// readmeResult is the result as JSON.
type readmeResult struct {
	Changed bool   `json:"changed"` // or, with --check, would change
	Diff    string `json:"diff,omitempty"`
}

func (e env) printReadme(result readmeResult, text string) error {
	if e.flags.json {
		return e.printJSON(result)
	}
	return e.print(text)
}

// diffOf finds the difference of README.md in what went wrong.
func diffOf(err error) string {
	var drift *pipeline.ReadmeDrift
	if errors.As(err, &drift) {
		return drift.Diff
	}
	return ""
}
