package main

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/report/actions"
	"github.com/linuxserver/docker-netbox/pipeline/secret"
)

// flags are the options that every verb shares.
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
}

func newRoot(io streams, getenv func(string) string) (*cobra.Command, *actions.Sink) {
	f := &flags{}
	root := &cobra.Command{
		Use:   "ci",
		Short: "Build, prove, ship and document the NetBox image",
		Long: `Build, prove, ship and document the NetBox image.

Standard output carries the result, standard error progress and logs; files go
under dist/. "go run" itself makes 1 of every exit status but 0.`,
		Example: `  go run ./ci check
  go run ./ci boot --platform linux/amd64`,
		SilenceErrors: true,
		// How many letters a verb may be off and still be suggested.
		SuggestionsMinimumDistance: 2,
		SilenceUsage:               true,
		Args:                       cobra.ArbitraryArgs,
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

	p := root.PersistentFlags()
	p.StringVar(&f.repo, "repo", ".", "the repository's `directory`")
	p.StringSliceVar(&f.platforms, "platform", pipeline.DefaultPlatforms(), "`platform` to work on, may be repeated")
	p.StringVar(&f.engine, "engine", "", "`engine` to build and boot with: local or dagger (default dagger where a session, a runner host or the dagger command is, else local)")
	p.StringVar(&f.base, "base", "", "base image: local, oci:DIR or an image `reference` (default local, with Dagger the published one of versions.yml)")
	p.StringVar(&f.output, "output", "dist", "`directory` that all files are written to")
	p.BoolVar(&f.json, "json", false, "print the result as JSON")
	p.DurationVar(&f.timeout, "timeout", 10*time.Minute, "limit for one boot of one platform")
	p.DurationVar(&f.wait, "wait", 30*time.Minute, "limit for waiting for another run that holds the cache or the output")

	mask := &secret.Mask{}
	sink := actions.New(getenv, io.err, func(file string) bool {
		info, err := os.Stat(filepath.Join(f.repo, file))
		return err == nil && info.Mode().IsRegular()
	}, mask.Hide)
	mask.Tell = sink.Mask
	e := env{streams: io, getenv: getenv, flags: f, mask: mask, actions: sink}
	root.AddCommand(
		newCheck(e), newBuild(e), newBoot(e), newGraph(e),
		newReadme(e), newPackages(e), newPublish(e), newRelease(e), newMerge(e), newVerify(e), newPin(e), newReport(e), newClean(e),
		newCompletion(e),
	)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(newHelp())
	root.InitDefaultHelpCmd()
	root.SetUsageTemplate(usage)
	e.completeFlags(root)
	return root, sink
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
