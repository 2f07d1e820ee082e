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
	cache     string // directory; empty without a home: what needs it refuses then
	netbox    string
	json      bool
	timeout   time.Duration
	wait      time.Duration

	// Of verbs that connect to registries.
	stall        time.Duration
	ca           string // file with CA certificates to trust
	roots        *x509.CertPool
	to, optional []string
	move         bool // allow any tag to move
	attach       string
	plan         string // file
	signKey      string // file
	signKeyless  bool
	// transport returns the shared transport to registries.
	transport func() *http.Transport
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
		// The largest edit distance at which a verb is suggested.
		SuggestionsMinimumDistance: 2,
		SilenceUsage:               true,
		Args:                       cobra.ArbitraryArgs,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			f.findRepo(cmd.Flags())
			if dir, err := os.UserCacheDir(); err == nil {
				f.cache = filepath.Join(dir, pipeline.Project)
			}
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
	warn := sync.OnceFunc(func() {
		fmt.Fprintf(io.err, "warning: a password or token of this run has fewer than %d characters: the log shows *** wherever they occur: use a longer one\n", secret.MinLength)
	})
	mask.Known = func(text string) {
		// Not registered when short: the runner drops every output that contains a
		// secret, even a digest.
		if len(text) < secret.MinLength {
			warn()
			return
		}
		sink.Mask(text)
	}
	f.transport = sync.OnceValue(func() *http.Transport { return registry.NewTransport(f.stall, f.roots) })
	e := env{streams: io, getenv: getenv, flags: f, mask: mask, actions: sink}
	shared := f.shared()
	session := "repo platform engine base output json wait "
	reading := "stall ca "
	publishing := reading + "optional move attach "
	signing := "sign-key sign-keyless "
	for _, verb := range []struct {
		cmd  *cobra.Command
		read string // the shared flags that it reads
	}{
		{newCheck(e), session + publishing + "timeout to plan"},
		{newBuild(e), session},
		{newBoot(e), session + "timeout"},
		{newGraph(e), session},
		{newReadme(e), "repo output json wait"},
		{newPackages(e), "repo output json"},
		{newPublish(e), publishing + signing + "repo engine output json wait to plan"},
		{newRelease(e), session + publishing + signing + "timeout"},
		{newMerge(e), publishing + signing + "repo output json wait plan"},
		{newVerify(e), session + reading},
		{newPin(e), reading + "repo json wait"},
		{newLint(e), "repo json wait"},
		{newReport(e), "output json"},
		{newClean(e), "output json wait"},
		{newCompletion(e), ""},
	} {
		for name := range strings.FieldsSeq(verb.read) {
			verb.cmd.Flags().AddFlag(shared.Lookup(name))
		}
		if verb.cmd.Args == nil {
			verb.cmd.Args = noArguments
		}
		root.AddCommand(verb.cmd)
	}
	root.CompletionOptions.DisableDefaultCmd = true
	setHelp(root)
	root.SetUsageTemplate(usage)
	e.completeFlags(root)
	return root, sink
}

// shared returns the flags that several verbs have.
func (f *flags) shared() *pflag.FlagSet {
	p := pflag.NewFlagSet("shared", pflag.ContinueOnError)
	p.StringVar(&f.repo, "repo", f.repo, "the repository's `directory`")
	p.StringSliceVar(&f.platforms, "platform", f.platforms, "`platform` to work on, may be repeated")
	p.StringVar(&f.engine, "engine", f.engine, "`engine` to use: local or dagger (default: dagger if there is a session, a runner host or the dagger command, else local)")
	p.StringVar(&f.base, "base", f.base, "base image: local, oci:DIR or an image `reference` (default: local, with Dagger the published base in versions.yml)")
	p.StringVar(&f.output, "output", f.output, "`directory` for all files")
	p.BoolVar(&f.json, "json", f.json, "print the result as JSON, see docs/maintaining.md")
	p.DurationVar(&f.timeout, "timeout", f.timeout, "limit for one boot of one platform")
	p.DurationVar(&f.wait, "wait", f.wait, "how long to wait for another run that uses the cache or the output")
	p.DurationVar(&f.stall, "stall", registry.DefaultStall, "how long a connection to a registry may transfer nothing before it counts as dropped")
	p.StringVar(&f.ca, "ca", "", "`file` with certificates of authorities that registries are trusted by, besides the machine's")
	p.StringArrayVar(&f.to, "to", nil, "`REGISTRY/NAME[:TAG]` to push the index to, may be repeated")
	p.StringArrayVar(&f.optional, "optional", nil, "`REGISTRY` that may fail: the failure is reported, but the run passes; may be repeated")
	p.BoolVar(&f.move, "move", false, "also move tags that name one image, such as v4.7.3-ls12")
	p.StringVar(&f.attach, "attach", "required", "`required`, or optional: publish without attachments where a registry refuses them")
	p.StringVar(&f.plan, "plan", "", "`file` printed by \"release --dry-run --json\": use its version and base")
	p.StringVar(&f.signKey, "sign-key", "", "sign with the private key in `file`, whose password is in COSIGN_PASSWORD")
	p.BoolVar(&f.signKeyless, "sign-keyless", false, "sign with cosign as the identity of the GitHub Actions job")
	return p
}

// findRepo searches for the repository in the parent directories, as git does, and puts
// the output directory into it.
func (f *flags) findRepo(given *pflag.FlagSet) {
	if given.Changed("repo") {
		return
	}
	for dir := "."; ; dir = filepath.Join(dir, "..") {
		if info, err := os.Stat(filepath.Join(dir, versions.File)); err == nil && info.Mode().IsRegular() {
			f.repo = dir
			break
		}
		if abs, err := filepath.Abs(dir); err != nil || abs == filepath.Dir(abs) {
			return // reading versions.yml fails with a better error
		}
	}
	if !given.Changed("output") {
		f.output = filepath.Join(f.repo, f.output)
	}
}

// env is the environment of a verb.
type env struct {
	streams
	getenv  func(string) string
	flags   *flags
	mask    *secret.Mask
	actions *actions.Sink // nil outside GitHub Actions
	plan    *release.Plan // nil without a plan
	attest  pipeline.Attestation
}

// unknownVerb returns an error for an unknown verb, with the most similar one.
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

// noArguments returns an error if a verb without arguments got any.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return failure.Usagef("%s %s: it takes no argument: leave %q out", cmd.CommandPath(), strings.Join(args, " "), args[0])
	}
	return nil
}
