package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/report"
)

func newReport(e env) *cobra.Command {
	return &cobra.Command{
		Use:   "report",
		Short: "Show the result of the last check",
		Long: `Show the result of the last check, which it left in dist/report, on standard
output. The exit status is that of showing it, not that of the check.`,
		Example: `  go run ./ci report
  go run ./ci report --json`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			r, err := report.Load(filepath.Join(e.flags.output, pipeline.CheckReport))
			if err != nil {
				return err
			}
			if e.flags.json {
				return e.printJSON(r)
			}
			return r.Summary(e.out)
		},
	}
}
