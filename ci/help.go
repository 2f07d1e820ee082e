package main

import (
	"github.com/spf13/cobra"
)

// usage is the template of the help after a verb's description. It wraps the flags
// to 80 columns.
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

// setHelp makes the verb help fail for an unknown verb: cobra's own exits with 0.
func setHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, _ := root.Find([]string{"help"}) // it is there now
	help.Use, help.Short = "help [VERB]", "Explain a verb"
	help.Long = `Print the help of a verb, like its --help. Standard output carries the help; no
file is written.`
	help.Example = `  go run ./ci help
  go run ./ci help check`
	help.Args, help.Run = cobra.ArbitraryArgs, nil
	help.RunE = func(cmd *cobra.Command, args []string) error {
		verb, rest, err := root.Find(args)
		if err != nil || len(rest) > 0 {
			return unknownVerb(root, args[0])
		}
		verb.InitDefaultHelpFlag()
		return verb.Help()
	}
}
