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

// completeFlags says what each flag of the verbs can be set to: by its name
// or by what its help calls the value.
func (e env) completeFlags(root *cobra.Command) {
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	byName := map[string]func() []string{
		"platform":  platform.Names,
		"engine":    func() []string { return []string{localEngine, daggerEngine} },
		"netbox":    e.releases,
		"to":        e.repositories,
		"published": e.repositories,
	}
	byKind := map[string]cobra.ShellCompDirective{
		"file":      cobra.ShellCompDirectiveDefault,
		"directory": cobra.ShellCompDirectiveFilterDirs,
	}
	for _, cmd := range append(root.Commands(), root) {
		cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) {
			var complete cobra.CompletionFunc
			kind, _ := pflag.UnquoteUsage(flag)
			if flag.Name == "base" {
				complete = e.completeBase
			} else if values, ok := byName[flag.Name]; ok {
				complete = func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
					return listed(values(), typed), cobra.ShellCompDirectiveNoFileComp
				}
			} else if directive, ok := byKind[kind]; ok {
				complete = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
					return nil, directive
				}
			}
			if _, has := cmd.GetFlagCompletionFunc(flag.Name); complete != nil && !has {
				_ = cmd.RegisterFlagCompletionFunc(flag.Name, complete) // fails for a flag that is not there, or a second time
			}
		})
	}
}

// listed puts what was typed before the last comma in front of each value.
func listed(values []string, typed string) []string {
	before := typed[:strings.LastIndex(typed, ",")+1]
	var all []string
	for _, value := range values {
		if !slices.Contains(strings.Split(before, ","), value) {
			all = append(all, before+value)
		}
	}
	return all
}

// completeBase completes local, the published base, and directories after
// oci:.
func (e env) completeBase(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	const layout = "oci:"
	if dir, ok := strings.CutPrefix(typed, layout); ok {
		var dirs []string
		found, _ := filepath.Glob(dir + "*") // a malformed pattern finds nothing
		for _, path := range found {
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				dirs = append(dirs, layout+path+"/")
			}
		}
		return dirs, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	bases := []string{provider.LocalBase}
	if pins, err := versions.Load(e.flags.repo); err == nil {
		bases = append(bases, pins.Base.Published)
	}
	if typed != "" && strings.HasPrefix(layout, typed) {
		return []string{layout}, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	return append(bases, layout), cobra.ShellCompDirectiveNoFileComp
}

// releases are those of NetBox that versions.yml names.
func (e env) releases() []string {
	pins, err := versions.Load(e.flags.repo)
	if err != nil {
		return nil
	}
	return []string{pins.NetBox.Release, pins.NetBox.Previous}
}

// repositories are those that versions.yml names.
func (e env) repositories() []string {
	pins, err := versions.Load(e.flags.repo)
	if err != nil {
		return nil
	}
	return pins.Repositories.All()
}
