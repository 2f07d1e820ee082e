package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	baseimage "github.com/linuxserver/docker-netbox/pipeline/base"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/git"
	"github.com/linuxserver/docker-netbox/pipeline/outdir"
	"github.com/linuxserver/docker-netbox/pipeline/provider"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

// releaseFlags are the flags of the verb: facts of the plan, and where to find others.
type releaseFlags struct {
	release.Facts
	newest, rebuild     bool
	published, attempts string
	to                  []string
}

func newRelease(e env) *cobra.Command {
	var f releaseFlags
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "release",
		Short: "Plan a release, check its images, publish them with all tags",
		Long: `Plan a release: the NetBox version, what changed since the published image, the
number, the channel, every tag and every repository, each with the reason.
--dry-run stops there. Otherwise the images are built, booted and checked under
the planned version, published and tagged, unless the plan skips the release.
The text of the release page is written to dist/release: body.md, title, tag and
the package list to commit.

The published image is the tag latest in the first live repository of
versions.yml, unless --published names another. Standard output carries the
plan, or a reference with digest for each published tag.`,
		Example: `  go run ./ci release --dry-run
  go run ./ci release --dry-run --newest --json
  go run ./ci release --to localhost:5000/netbox --published localhost:5000/netbox:latest`,
	}
	p := cmd.Flags()
	p.BoolVar(&dryRun, "dry-run", false, "only print the plan")
	p.StringVar(&f.Requested, "netbox", "", "plan this `release` of NetBox")
	p.BoolVar(&f.newest, "newest", false, "plan the newest NetBox release that pip finds")
	p.BoolVar(&f.Force, "force", false, "release even if nothing changed, it failed before, or NetBox is older")
	p.BoolVar(&f.rebuild, "rebuild", false, "rebuild the published image to see whether packages changed")
	p.IntVar(&f.Number, "number", 0, "use this `number` for the release instead of the next one")
	p.IntVar(&f.Pull, "pull-request", 0, "plan the images of pull request `number`")
	p.StringVar(&f.published, "published", "", "`REGISTRY/NAME:TAG` to compare with; none plans a first release")
	p.StringVar(&f.attempts, "attempts", "", "`file` with the runs of release.yml, as gh lists them in JSON: what failed not long ago waits")
	p.StringArrayVar(&f.to, "to", nil, "`REGISTRY/NAME` to publish to instead of those in versions.yml, may be repeated")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if f.Requested != "" && f.newest {
			return failure.Usagef("release: --netbox and --newest exclude each other: pass one")
		}
		var err error
		if e.attest, err = e.attesting(); err != nil {
			return err
		}
		plan, err := e.makePlan(cmd.Context(), f)
		if err != nil {
			return err
		}
		if err := e.actions.Plan(plan); err != nil {
			return err
		}
		if dryRun || plan.Skip != "" {
			return e.print(plan, plan.Text)
		}
		if err := plan.Text(e.err); err != nil {
			return err
		}
		targets, err := plan.Targets()
		if err != nil {
			return err
		}
		return e.withPlan(plan).session(cmd.Context(), func(s *session) error {
			if _, err := s.check(cmd.Context(), targets, plan.Optional); err != nil {
				return err
			}
			if err := s.writeNotes(plan, s.pipeline.Report()); err != nil {
				return err
			}
			return s.printPublished()
		})
	}
	return cmd
}

// notesDir is the directory under the output directory for the text of a release.
const notesDir = "release"

// writeNotes writes the text of a release's page, its title and git tag, and the list
// of packages to commit. It does nothing outside the live channel, which alone has pages.
func (e env) writeNotes(plan release.Plan, r report.Report) error {
	if plan.Channel.Value != release.Live {
		return nil
	}
	body, err := plan.Notes(r, e.actions.RunURL())
	if err != nil {
		return err
	}
	files := map[string][]byte{"body.md": []byte(e.mask.Hide(body)), "title": []byte(plan.Version + "\n"), "tag": []byte(plan.Version + "\n")}
	for _, d := range r.Documents {
		if d.Platform == sbom.ListedPlatform && d.Type == sbom.ListType {
			files[sbom.ListFile] = d.Text
		}
	}
	dir := filepath.Join(e.flags.output, notesDir)
	return outdir.Replace(dir, func(tmp string) error {
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(tmp, name), text, 0o644); err != nil {
				return fmt.Errorf("write the text of the release: %w", err)
			}
		}
		return nil
	})
}

// withPlan returns e with a plan.
func (e env) withPlan(plan release.Plan) env {
	e.plan = &plan
	return e
}

// makePlan collects the facts that a plan depends on, and returns the plan.
func (e env) makePlan(ctx context.Context, f releaseFlags) (release.Plan, error) {
	none := release.Plan{}
	pins, err := versions.Load(e.flags.repo)
	if err != nil {
		return none, err
	}
	commit, err := git.Head(ctx, e.flags.repo)
	if err != nil {
		return none, err
	}
	facts := f.Facts
	facts.Pinned, facts.Repositories, facts.Now = pins.NetBox.Release, pins.Repositories, time.Now()
	facts.Commit, facts.Dirty, facts.Shallow = commit.Commit, commit.Dirty, commit.Shallow
	if len(f.to) > 0 {
		facts.Repositories = versions.Repositories{Live: f.to, Development: f.to, PullRequest: f.to}
	}
	facts.Repositories.Optional = append(facts.Repositories.Optional, e.flags.optional...)
	if e.actions != nil {
		facts.Owner = e.getenv("GITHUB_REPOSITORY_OWNER")
	}
	// Local facts come first: their errors are found before any network request.
	var errs [5]error
	facts.Branch, facts.Tag, facts.Pull, errs[0] = e.gitRef(ctx, f.Pull)
	facts.Tags, errs[1] = git.Tags(ctx, e.flags.repo)
	facts.Package, errs[2] = sbom.ReadList(e.flags.repo)
	facts.Attempts, errs[3] = release.ReadAttempts(f.attempts)
	engine, _, err := e.chooseEngine()
	errs[4] = err
	if err := errors.Join(errs[:]...); err != nil {
		return none, err
	}
	if f.newest {
		if facts.Upstream, err = release.FindUpstream(ctx); err != nil {
			return none, err
		}
	}
	registries := e.registries()
	if facts.Base, err = release.FindBase(ctx, registries, cmp.Or(e.base(engine), pins.Base.Published)); err != nil {
		return none, err
	}
	facts.Images = release.FindPins(ctx, registries, pins)
	if published := cmp.Or(f.published, pins.Repositories.Live[0]+":latest"); published != "none" {
		if facts.Published, err = release.FindPublished(ctx, registries, published); err != nil {
			return none, err
		}
	}
	if facts.Published != nil {
		if err := e.addChanges(ctx, registries, &facts); err != nil {
			return none, err
		}
		if f.rebuild {
			if facts.Rebuilt, err = e.rebuild(ctx, registries, *facts.Published); err != nil {
				return none, err
			}
		}
	}
	for {
		plan, err := release.Make(facts)
		if err != nil || plan.Skip != "" || plan.Channel.Value != release.Live {
			return plan, err
		}
		inUse, err := release.FindVersionInUse(ctx, registries, e.flags.repo, plan, e.err)
		if err != nil || inUse == nil || slices.Contains(facts.InUse, *inUse) {
			return plan, err
		}
		facts.InUse = append(facts.InUse, *inUse)
	}
}

// addChanges adds what has changed since the published image: files, those of them that the
// image is built from, and how package_versions.txt differs from the image's packages.
func (e env) addChanges(ctx context.Context, registries registry.Source, facts *release.Facts) (err error) {
	var known bool
	facts.Changed, known, err = git.Changed(ctx, e.flags.repo, facts.Published.Commit)
	facts.Unknown = !known
	if err != nil || len(facts.Changed) == 0 {
		return err
	}
	var takes *baseimage.Inputs
	if facts.Base.Name == provider.LocalBase {
		found, err := (&baseimage.Builder{Source: e.flags.repo}).Inputs(ctx)
		if err != nil {
			return err
		}
		takes = &found
	}
	if facts.ChangedInputs, err = release.FindChangedInputs(ctx, e.flags.repo, facts.Published.Commit, facts.Changed, takes); err != nil {
		return err
	}
	if !slices.Contains(facts.Changed, sbom.ListFile) || facts.Package == nil {
		return nil
	}
	baseline, err := release.FindBaseline(ctx, registries, e.flags.repo, facts.Published)
	if err != nil {
		return err
	}
	published := baseline.Images[sbom.ListedPlatform].Packages
	if published == nil { // unknown
		return nil
	}
	listed, err := sbom.ParseTable(facts.Package)
	if err != nil {
		return failure.Usagef("%s: %w: write it with \"go run ./ci packages\"", sbom.ListFile, err)
	}
	facts.ListChanges = new(sbom.Packages(sbom.ListedPlatform, published, listed))
	return nil
}

// baseline returns the function that reads the contents of the published images. No
// check depends on them: contents that cannot be read are reported as unknown and do
// not fail a release.
func (e env) baseline(published *release.Published) func(context.Context) (*sbom.Baseline, error) {
	return func(ctx context.Context) (*sbom.Baseline, error) {
		baseline, err := release.FindBaseline(ctx, e.registries(), e.flags.repo, published)
		if err == nil || ctx.Err() != nil {
			return baseline, err
		}
		return &sbom.Baseline{Since: published.Since, Unknown: []string{strings.Join(failure.Lines(err), "; ")}}, nil
	}
}

// gitRef returns the branch, git tag or pull request that is built: from the variables
// of GitHub Actions, or else from git.
func (e env) gitRef(ctx context.Context, pull int) (branch, tag string, number int, err error) {
	ref := e.getenv("GITHUB_REF")
	if e.actions == nil || ref == "" {
		branch, err = git.Branch(ctx, e.flags.repo)
		return branch, "", pull, err
	}
	kind, name, _ := strings.Cut(strings.TrimPrefix(ref, "refs/"), "/")
	switch {
	case kind == "heads":
		branch = name
	case kind == "tags":
		tag = name
	case kind == "pull" && pull == 0: // refs/pull/7/merge
		name, _, _ = strings.Cut(name, "/")
		if pull, err = strconv.Atoi(name); err != nil {
			err = failure.Usagef("read GITHUB_REF %q: %w: pass --pull-request", ref, err)
		}
	}
	return branch, tag, pull, err
}

// registries returns the source for reading from registries, with credentials.
func (e env) registries() registry.Source {
	return registry.Source{Keychain: registry.Environment(e.getenv, e.mask.Add, e.flags.stall), Transport: e.flags.transport(), Log: e.err}
}

// publishing returns the options of a push. Optional registries may fail.
func (e env) publishing(optional []string) registry.Options {
	return registry.Options{Keychain: registry.Environment(e.getenv, e.mask.Add, e.flags.stall), Transport: e.flags.transport(), Move: e.flags.move, AttachOptional: e.flags.attach == "optional", Optional: optional}
}
