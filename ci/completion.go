package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/provider"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

func newCompletion(e env) *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the completion script of a shell",
		Long: `Print the script that completes verbs, flags, platforms, engines, bases,
releases and repositories in bash, zsh or fish. It works for the built command
ci on the PATH, not for "go run ./ci". Bash needs the package bash-completion.
Standard output carries the script; no file is written.`,
		Example: `  go run ./ci completion fish >~/.config/fish/completions/ci.fish
  go build -o ~/.local/bin/ci ./ci && source <(ci completion bash)`,
		ValidArgs: shells,
		Args:      cobra.ArbitraryArgs, // RunE checks them
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(shells, args[0]) {
				return failure.Usagef("print a completion script for %q: there is none: pass one of %s", strings.Join(args, " "), strings.Join(shells, ", "))
			}
			script := map[string]func() error{
				"bash": func() error { return cmd.Root().GenBashCompletionV2(e.out, true) },
				"zsh":  func() error { return cmd.Root().GenZshCompletion(e.out) },
				"fish": func() error { return cmd.Root().GenFishCompletion(e.out, true) },
			}[args[0]]
			if err := script(); err != nil {
				return fmt.Errorf("write the completion script to standard output: %w", err)
			}
			return nil
		},
	}
}

// completeFlags registers the completion of the verbs' flags, by the flag's name or by
// the kind of value in its help.
func (e env) completeFlags(root *cobra.Command) {
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	repositories := e.completePinned(func(pins *versions.Versions) []string { return pins.Repositories.All() })
	byName := map[string]cobra.CompletionFunc{
		"platform":  complete(platform.Names),
		"engine":    complete(func() []string { return []string{localEngine, daggerEngine} }),
		"base":      e.completeBase,
		"netbox":    e.completePinned(func(pins *versions.Versions) []string { return []string{pins.NetBox.Release, pins.NetBox.Previous} }),
		"to":        repositories,
		"published": repositories,
	}
	byKind := map[string]cobra.CompletionFunc{
		"file":      cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault),
		"directory": cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
	}
	for _, cmd := range append(root.Commands(), root) {
		cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) {
			kind, _ := pflag.UnquoteUsage(flag)
			for _, complete := range []cobra.CompletionFunc{byName[flag.Name], byKind[kind]} {
				if complete != nil {
					_ = cmd.RegisterFlagCompletionFunc(flag.Name, complete) // the first one wins, also for shared flags
				}
			}
		})
	}
}

// complete completes a comma-separated flag with the values that it does not have yet.
func complete(values func() []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, typed string) (all []string, _ cobra.ShellCompDirective) {
		before := typed[:strings.LastIndex(typed, ",")+1]
		for _, value := range values() {
			if !slices.Contains(strings.Split(before, ","), value) {
				all = append(all, before+value)
			}
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	}
}

// completePinned completes with names from versions.yml.
func (e env) completePinned(names func(*versions.Versions) []string) cobra.CompletionFunc {
	return complete(func() []string {
		pins, err := versions.Load(e.flags.repo)
		if err != nil {
			return nil
		}
		return names(pins)
	})
}

// completeBase completes local, the published base, and directories after oci:.
func (e env) completeBase(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	const layout = "oci:"
	goOn := cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	if dir, ok := strings.CutPrefix(typed, layout); ok {
		var dirs []string
		found, _ := filepath.Glob(dir + "*") // a malformed pattern finds nothing
		for _, path := range found {
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				dirs = append(dirs, layout+path+"/")
			}
		}
		return dirs, goOn
	}
	if typed != "" && strings.HasPrefix(layout, typed) {
		return []string{layout}, goOn
	}
	bases := []string{provider.LocalBase}
	if pins, err := versions.Load(e.flags.repo); err == nil {
		bases = append(bases, pins.Base.Published)
	}
	return append(bases, layout), cobra.ShellCompDirectiveNoFileComp
}
