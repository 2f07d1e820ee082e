package main

import (
	"github.com/spf13/cobra"
)

// usage is what --help says after what a verb is for. Flags are wrapped to
// what a terminal has at least.
const usage = `Usage:
  go run ./{{if .HasParent}}{{.UseLine}}{{else}}ci VERB [flags]{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if not .HasParent}}

Verbs:{{range .Commands}}{{if or .IsAvailableCommand (eq .Name "help")}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsagesWrapped 80 | trimTrailingWhitespaces}}{{end}}

Exit status: 0 success, 1 a check failed, 2 wrong use or a missing prerequisite.
`

// newHelp replaces cobra's own verb, which takes a verb that there is not for
// success.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [VERB]",
		Short: "Explain a verb",
		Long: `Print the help of a verb, like its --help. Standard output carries the help; no
file is written.`,
		Example: `  go run ./ci help
  go run ./ci help check`,
		Args: cobra.ArbitraryArgs,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var verbs []string
			for _, c := range cmd.Root().Commands() {
				if c.IsAvailableCommand() && len(args) == 0 {
					verbs = append(verbs, cobra.CompletionWithDesc(c.Name(), c.Short))
				}
			}
			return verbs, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			asked, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return unknownVerb(cmd.Root(), args[0])
			}
			asked.InitDefaultHelpFlag()
			return asked.Help()
		},
	}
}
