package main

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/report/actions"
	"github.com/linuxserver/docker-netbox/pipeline/secret"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

// flags are the options that several verbs share. They keep their defaults for
// verbs that do not have them.
type flags struct {
	repo      string
	platforms []string
	engine    string
	base      string
	output    string
	netbox    string
	json      bool
	timeout   time.Duration
	wait      time.Duration
	stall     time.Duration // of verbs that talk to registries
	ca        string        // file with authorities that they trust
	roots     *x509.CertPool
	move      bool // any tag to another image
	attach    string
	// line is the one transport to registries.
	line func() *http.Transport
}

func newRoot(io streams, getenv func(string) string) (*cobra.Command, *actions.Sink) {
	f := &flags{repo: ".", platforms: platform.Names(), output: "dist", timeout: 10 * time.Minute, wait: 30 * time.Minute}
	root := &cobra.Command{
		Use:   "ci",
		Short: "Build, check, publish and document the NetBox image",
		Long: `Build, check, publish and document the NetBox image.

Standard output carries the result, standard error the progress and logs. Files
are written to dist/. "go run" itself turns every failure into exit status 1.`,
		Example: `  go run ./ci check
  go run ./ci boot --platform linux/amd64`,
		SilenceErrors: true,
		// How many letters a verb may be off and still be suggested.
		SuggestionsMinimumDistance: 2,
		SilenceUsage:               true,
		Args:                       cobra.ArbitraryArgs,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			f.find(cmd.Flags())
			switch {
			case f.timeout <= 0:
				return failure.Usagef("read --timeout %s: pass a time above zero, such as 10m", f.timeout)
			case f.wait < 0:
				return failure.Usagef("read --wait %s: pass a time, such as 10m, or 0 to fail at once", f.wait)
			}
			if f.attach != "" && f.attach != "required" && f.attach != "optional" {
				return failure.Usagef("read --attach %s: pass required or optional", f.attach)
			}
			if f.ca != "" {
				var err error
				f.roots, err = registry.ReadRoots(f.ca)
				return err
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownVerb(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	root.SetIn(io.in)
	root.SetOut(io.out)
	root.SetErr(io.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return failure.Usagef("%s: %w: run \"go run ./%s --help\" for its flags", cmd.CommandPath(), err, cmd.CommandPath())
	})

	mask := &secret.Mask{}
	sink := actions.New(getenv, io.err, func(file string) bool {
		info, err := os.Stat(filepath.Join(f.repo, file))
		return err == nil && info.Mode().IsRegular()
	}, mask.Hide)
	var warned sync.Once
	mask.Tell = func(text string) {
		// The runner drops every output that a secret occurs in, digests too.
		if len(text) < secret.Short {
			warned.Do(func() {
				fmt.Fprintf(io.err, "warning: a password or token of this run has fewer than %d characters: the log shows *** wherever they occur: use a longer one\n", secret.Short)
			})
			return
		}
		sink.Mask(text)
	}
	f.line = sync.OnceValue(func() *http.Transport { return registry.NewTransport(f.stall, f.roots) })
	e := env{streams: io, getenv: getenv, flags: f, mask: mask, actions: sink}
	session := []string{"repo", "platform", "engine", "base", "output", "json", "wait"}
	for _, verb := range []struct {
		cmd  *cobra.Command
		read []string // the shared flags that it reads
	}{
		{newCheck(e), append(session, "timeout")},
		{newBuild(e), session},
		{newBoot(e), append(session, "timeout")},
		{newGraph(e), session},
		{newReadme(e), []string{"repo", "output", "json", "wait"}},
		{newPackages(e), []string{"repo", "output", "json"}},
		{newPublish(e), []string{"repo", "engine", "output", "json", "wait"}},
		{newRelease(e), append(session, "timeout")},
		{newMerge(e), []string{"repo", "output", "json", "wait"}},
		{newVerify(e), session},
		{newPin(e), []string{"repo", "json", "wait"}},
		{newReport(e), []string{"output", "json"}},
		{newClean(e), []string{"output", "json", "wait"}},
		{newCompletion(e), nil},
	} {
		f.add(verb.cmd.Flags(), verb.read)
		root.AddCommand(verb.cmd)
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(newHelp())
	root.InitDefaultHelpCmd()
	root.SetUsageTemplate(usage)
	e.completeFlags(root)
	return root, sink
}

// add defines those of the shared flags that a verb reads.
func (f *flags) add(p *pflag.FlagSet, names []string) {
	for _, name := range names {
		switch name {
		case "repo":
			p.StringVar(&f.repo, name, f.repo, "the repository's `directory`")
		case "platform":
			p.StringSliceVar(&f.platforms, name, f.platforms, "`platform` to work on, may be repeated")
		case "engine":
			p.StringVar(&f.engine, name, f.engine, "`engine` to use: local or dagger (default: dagger if there is a session, a runner host or the dagger command, else local)")
		case "base":
			p.StringVar(&f.base, name, f.base, "base image: local, oci:DIR or an image `reference` (default: local, with Dagger the published base in versions.yml)")
		case "output":
			p.StringVar(&f.output, name, f.output, "`directory` for all files")
		case "json":
			p.BoolVar(&f.json, name, f.json, "print the result as JSON, see docs/maintaining.md")
		case "timeout":
			p.DurationVar(&f.timeout, name, f.timeout, "limit for one boot of one platform")
		case "wait":
			p.DurationVar(&f.wait, name, f.wait, "how long to wait for another run that uses the cache or the output")
		default:
			panic("no shared flag is called " + name)
		}
	}
}

// find looks for the repository upwards, as git does. The output directory
// lies in it, wherever in it the program is run.
func (f *flags) find(given *pflag.FlagSet) {
	if given.Changed("repo") {
		return
	}
	for dir := "."; ; dir = filepath.Join(dir, "..") {
		if info, err := os.Stat(filepath.Join(dir, versions.File)); err == nil && info.Mode().IsRegular() {
			f.repo = dir
			break
		}
		if abs, err := filepath.Abs(dir); err != nil || abs == filepath.Dir(abs) {
			return // reading it says where it was looked for
		}
	}
	if !given.Changed("output") {
		f.output = filepath.Join(f.repo, f.output)
	}
}

// env is what every verb is given.
type env struct {
	streams
	getenv  func(string) string
	flags   *flags
	mask    *secret.Mask
	actions *actions.Sink // nil outside GitHub Actions
	keepTo  *release.Plan // what the images are made for, nil when nothing is planned
	vouch   pipeline.Attesting
}

// unknownVerb names the verb that was asked for and the nearest there is.
func unknownVerb(root *cobra.Command, verb string) error {
	if near := root.SuggestionsFor(verb); len(near) > 0 {
		return failure.Usagef("run verb %q: there is no such verb: did you mean %q?", verb, near[0])
	}
	var verbs []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			verbs = append(verbs, c.Name())
		}
	}
	return failure.Usagef("run verb %q: there is no such verb: pass one of %s", verb, strings.Join(verbs, ", "))
}

// noArguments refuses what a verb has no use for.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return failure.Usagef("%s %s: it takes no argument: leave %q out", cmd.CommandPath(), strings.Join(args, " "), args[0])
	}
	return nil
}
