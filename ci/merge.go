package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/git"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

func newMerge(e env) *cobra.Command {
	var reports string
	var byDigest bool
	cmd := &cobra.Command{
		Use:   "merge",
		Short: "Join images pushed by digest into one index, and publish it",
		Long: `Join the images that several machines built, booted and pushed by digest into
one index, and publish it to every repository of the plan. Every image must have
passed its check, and all must have the same commit, version and base. With
--by-digest no tag moves, so that the index can be attested and signed first.
The report is written to dist/report, the text of the release page to
dist/release. Standard output carries the digest of the index.`,
		Example: `  go run ./ci merge --plan dist/plan.json --reports dist/proven --by-digest
  go run ./ci merge --plan dist/plan.json --reports dist/proven`,
	}
	cmd.Flags().StringVar(&reports, "reports", "", "`directory` that contains one directory for each machine's report")
	cmd.Flags().BoolVar(&byDigest, "by-digest", false, "push the index but move no tag")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if e.flags.plan == "" || reports == "" {
			return failure.Usagef("merge: pass the plan with --plan FILE and the reports with --reports DIR")
		}
		attesting, err := e.attesting()
		if err != nil {
			return err
		}
		p, err := release.Load(e.flags.plan)
		if err != nil {
			return err
		}
		pins, err := versions.Load(e.flags.repo)
		if err != nil {
			return err
		}
		commit, err := git.Head(cmd.Context(), e.flags.repo)
		if err != nil {
			return err
		}
		if err := p.CheckReady(commit, pins.NetBox.Release); err != nil {
			return err
		}
		proven, err := loadReports(reports)
		if err != nil {
			return err
		}
		targets, err := p.Targets()
		if err != nil {
			return err
		}
		unlock, err := e.lockOutput(cmd.Context())
		if err != nil {
			return err
		}
		defer unlock()

		publish := e.publishing(slices.Concat(p.Optional, e.flags.optional))
		publish.ByDigest = byDigest
		display := e.display(cmd.Context())
		defer display.Close()
		r, err := pipeline.Merge(cmd.Context(), pipeline.MergeOptions{
			Options: pipeline.Options{
				Repo: e.flags.repo, BaseName: p.Base.Reference(), Version: p.Version, Source: commit,
				Baseline: e.baseline(p.Published), Attest: attesting, Mask: e.mask, Now: time.Now,
			},
			Proven: proven, Images: p.Repositories[0], From: e.registries(), Targets: targets, Publish: publish,
		}, display)
		display.Close()
		if r.Started.IsZero() { // nothing was started
			return err
		}
		if err := e.finishReport(r, err, pipeline.CheckReport); err != nil {
			return err
		}
		if !byDigest {
			if err := e.writeNotes(p, r); err != nil {
				return err
			}
		}
		return e.printResult(r, r.Index+"\n")
	}
	return cmd
}

// loadReports reads the report in each directory under dir.
func loadReports(dir string) ([]report.Report, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*", "report.json"))
	if err == nil && len(files) == 0 {
		err = failure.Usagef("read the reports in %s: there is none: put what \"go run ./ci check --platform PLATFORM\" leaves in dist/report there, a directory each", dir)
	}
	if err != nil {
		return nil, err
	}
	var list []report.Report
	var errs []error
	for _, file := range files {
		r, err := report.Load(filepath.Dir(file))
		list, errs = append(list, r), append(errs, err)
	}
	return list, errors.Join(errs...)
}

// printPublished prints the published references.
func (s *session) printPublished() error {
	published := s.pipeline.Report().Published
	var text string
	for _, tag := range published {
		text += fmt.Sprintf("%s@%s\n", tag.Reference, tag.Digest)
	}
	return s.printResult(published, text)
}

// targets returns the targets of --to or of the plan.
func (e env) targets(byDigest bool) ([]registry.Target, error) {
	if e.plan == nil {
		return registry.ParseTargets(e.flags.to)
	}
	if len(e.flags.to) > 0 {
		return nil, failure.Usagef("publish: --to and --plan exclude each other: the plan names its repositories")
	}
	if byDigest { // no tag moves
		return registry.ParseTargets(e.plan.Repositories)
	}
	return e.plan.Targets()
}
