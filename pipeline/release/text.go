package release

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"text/template"
)

//go:embed plan.txt.tmpl
var planText string

var planTemplate = template.Must(template.New("plan").Parse(planText))

// Text writes the plan for people.
func (p Plan) Text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	return errors.Join(planTemplate.Execute(t, p), t.Flush())
}

// Headline summarizes the plan in one line.
func (p Plan) Headline() string {
	if p.Skip != "" {
		return "skip: " + p.Skip
	}
	return fmt.Sprintf("release %s", p.Version)
}

// reasons lists what has changed since the published image, or what has not.
func (p Plan) reasons(changed bool) []string {
	var reasons []string
	for _, c := range p.Changes {
		if c.Changed == changed {
			reasons = append(reasons, c.What+": "+c.Reason)
		}
	}
	return reasons
}

// Why returns the reasons for the release in one line.
func (p Plan) Why() string {
	if reasons := p.reasons(true); len(reasons) > 0 {
		return strings.Join(reasons, "; ")
	}
	return "it is asked for"
}

// pinInstruction returns the instruction to pin another NetBox release.
func pinInstruction(netbox string) string {
	return fmt.Sprintf("run \"go run ./ci pin --netbox %s\" and commit the result", netbox)
}

// Row is a line of the plan's table.
type Row struct{ What, Value, Reason string }

// Rows returns the decisions, one in each row.
func (p Plan) Rows() []Row {
	rows := []Row{
		{"NetBox", p.NetBox.Value, p.NetBox.Reason},
		{"channel", p.Channel.Value, p.Channel.Reason},
	}
	if p.Channel.Value == Live {
		rows = append(rows,
			Row{"number", "ls" + p.Number.Value, p.Number.Reason},
			Row{"tag", p.Version, "it names this image for ever; the other tags move to it"},
		)
	} else {
		rows = append(rows, Row{"packages", p.Package.Value, p.Package.Reason})
	}
	base := "--base asks for it"
	if p.Base.Digest != "" {
		base = "now " + short(p.Base.Digest)
	}
	return append(rows,
		Row{"semver", p.Semver, "of NetBox"},
		Row{"commit", short(p.Commit), "HEAD"},
		Row{"base", p.Base.Name, base},
	)
}
