package main

import (
	"github.com/spf13/cobra"

	"github.com/linuxserver/docker-netbox/pipeline/lint"
)

func newLint(e env) *cobra.Command {
	return &cobra.Command{
		Use:   "lint",
		Short: "Check the sources with linters",
		Long: `Check Go code with gofmt, go vet, staticcheck, unparam and deadcode, workflows
with actionlint, and shell scripts with shellcheck, where it is installed. The
others are built from tools/ when first needed. Each finding is a line on
standard error. Standard output carries a line when nothing is found; no file is
written.`,
		Example: `  go run ./ci lint`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			missing, err := lint.Repo{Dir: e.flags.repo, Tool: e.tool}.Check(cmd.Context(), e.err)
			if err != nil {
				return err
			}
			text := "no findings"
			for _, name := range missing {
				text += ", but not checked with " + name + ": install it"
			}
			return e.printResult(lintResult{Findings: 0, Missing: missing}, text+"\n")
		},
	}
}

// lintResult is the result as JSON, of sources without findings.
type lintResult struct {
	Findings int      `json:"findings"`
	Missing  []string `json:"missing,omitempty"` // linters that are not installed
}
