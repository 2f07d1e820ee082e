package main

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/outdir"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

func newPackages(e env) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "packages",
		Short: "Write package_versions.txt from the last check",
		Long: `Write package_versions.txt, the packages in the linux/amd64 image, from the last
check's report in dist/report. With --check nothing is written, and the exit
status is 1 if there is a difference. Standard output carries the packages that
were added, changed or removed.`,
		Example: `  go run ./ci packages
  go run ./ci packages --check`,
	}
	cmd.Flags().BoolVar(&check, "check", false, "only show the difference")
	cmd.RunE = func(*cobra.Command, []string) error {
		r, err := report.Load(filepath.Join(e.flags.output, pipeline.CheckReport))
		if err != nil {
			return err
		}
		i := slices.IndexFunc(r.Documents, func(d report.Document) bool {
			return d.Platform == sbom.ListedPlatform && d.Type == sbom.ListType
		})
		if i < 0 {
			return failure.Usagef("write %s: the last check did not list the packages of %s: run \"go run ./ci check --platform %[2]s\"", sbom.ListFile, sbom.ListedPlatform)
		}
		have, err := sbom.ReadList(e.flags.repo)
		if err != nil {
			return err
		}
		want := r.Documents[i].Text
		if bytes.Equal(have, want) {
			fmt.Fprintf(e.err, "%s is up to date\n", sbom.ListFile)
			return e.printChanges(nil)
		}
		packages, err := sbom.ParseTable(want)
		if err != nil {
			return fmt.Errorf("read the list of the last check: %w", err)
		}
		changes, err := sbom.Outdated(have, packages)
		if err != nil { // the file is not a list: all packages are new
			changes, err = sbom.Outdated(nil, packages)
		}
		if err == nil {
			err = e.printChanges(changes)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(e.err, "%s: %s\n", sbom.ListFile, sbom.Counts(changes))
		if check {
			return fmt.Errorf("%s is not what the image holds: run \"go run ./ci packages\" and commit it", sbom.ListFile)
		}
		if err := outdir.WriteFile(filepath.Join(e.flags.repo, sbom.ListFile), want); err != nil {
			return fmt.Errorf("write the list of packages: %w", err)
		}
		return nil
	}
	return cmd
}

// printChanges prints the result.
func (e env) printChanges(changes []sbom.Change) error {
	return e.print(append([]sbom.Change{}, changes...), func(w io.Writer) error { // no changes are [], not null
		return sbom.Text(w, changes, []string{sbom.ListedPlatform})
	})
}
