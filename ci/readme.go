package main

import (
	"cmp"
	"errors"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/d2"
	"github.com/linuxserver/docker-netbox/pipeline/docs"
)

func newReadme(e env) *cobra.Command {
	var check bool
	var docs string
	cmd := &cobra.Command{
		Use:   "readme",
		Short: "Write README.md from readme-vars.yml and docs/",
		Long: `Write README.md, its pictures of the init graph, and the documentation site's
page from readme-vars.yml and docs/. That page belongs to another repository:
--docs names its file there; the default is dist/docs/docker-netbox.md.

With --check nothing is written. Standard output carries a unified diff, and the
exit status is 1 if there is a difference. The documentation site's page is only
compared if --docs names it.`,
		Example: `  go run ./ci readme
  go run ./ci readme --check
  go run ./ci readme --docs ../docs/docs/images/docker-netbox.md`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			documents := e.documents()
			documents.Docs = docs
			if check {
				err := documents.Check()
				diff := diffOf(err)
				if err != nil && diff == "" {
					return err
				}
				return errors.Join(e.printResult(readmeResult{Changed: diff != "", Diff: diff}, diff), err)
			}
			documents.Docs = cmp.Or(docs, filepath.Join(e.flags.output, "docs", pipeline.Project+".md"))
			changed, err := documents.Write(cmd.Context(), e.err)
			if err != nil {
				return err
			}
			return e.printResult(readmeResult{Changed: len(changed) > 0, Files: changed}, written(changed, documents))
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "only show the difference")
	cmd.Flags().StringVar(&docs, "docs", "", "`file` of the documentation site's page")
	return cmd
}

// documents returns the repository's documents, without the documentation site's page.
func (e env) documents() docs.Documents {
	return docs.Documents{Repo: e.flags.repo, Output: e.flags.output, D2: d2.Tool{Module: e.tool("d2")}}
}

// written returns the line that lists the written documents, or says that there are none.
func written(changed []string, documents docs.Documents) string {
	if len(changed) == 0 {
		return "up to date: " + documents.String() + "\n"
	}
	return "written: " + strings.Join(changed, ", ") + "\n"
}

// readmeResult is the result as JSON.
type readmeResult struct {
	Changed bool     `json:"changed"`         // or, with --check, would change
	Files   []string `json:"files,omitempty"` // written
	Diff    string   `json:"diff,omitempty"`
}

// diffOf returns the diff of the documents in err, or "".
func diffOf(err error) string {
	if drift, ok := errors.AsType[*docs.Drift](err); ok {
		return drift.Diff
	}
	return ""
}
