package release

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// Text writes the plan for people.
func (p Plan) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintln(&b, p.Headline())
	for _, next := range p.Next {
		fmt.Fprintf(&b, "next: %s\n", next)
	}
	b.WriteString("\n")
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range p.Rows() {
		fmt.Fprintf(t, "%s\t%s\t%s\n", row.What, row.Value, row.Reason)
	}
	t.Flush()

	b.WriteString("\nsince the published image:\n")
	t = tabwriter.NewWriter(&b, 2, 0, 2, ' ', 0)
	for _, c := range p.Changes {
		verdict := "same"
		if c.Changed {
			verdict = "changed"
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\n", c.What, verdict, c.Reason)
	}
	t.Flush()

	if len(p.Images) > 0 {
		b.WriteString("\npinned images:\n")
		for _, pin := range p.Images {
			fmt.Fprintf(&b, "  %s: %s\n", pin.Name, pin.State())
		}
	}

	list := func(title string, lines []string) {
		fmt.Fprintf(&b, "\n%s:\n", title)
		for _, l := range lines {
			fmt.Fprintf(&b, "  %s\n", l)
		}
	}
	list("repositories", p.Repositories)
	if len(p.Optional) > 0 {
		list("registries that may fail", p.Optional)
	}
	list("tags of the index", p.Tags)
	for _, platform := range slices.Sorted(maps.Keys(p.ImageTags)) {
		list("tags of "+platform, p.ImageTags[platform])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Headline is the plan in one line.
func (p Plan) Headline() string {
	if p.Skip != "" {
		return "skip: " + p.Skip
	}
	return fmt.Sprintf("release %s", p.Version)
}

// reasons are what has changed since the published image.
func (p Plan) reasons() []string {
	var reasons []string
	for _, c := range p.Changes {
		if c.Changed {
			reasons = append(reasons, c.What+": "+c.Reason)
		}
	}
	return reasons
}

// Why is all of them in one line.
func (p Plan) Why() string {
	if reasons := p.reasons(); len(reasons) > 0 {
		return strings.Join(reasons, "; ")
	}
	return "it is asked for"
}

// pinFirst says how another release of NetBox is pinned.
func pinFirst(netbox string) string {
	return fmt.Sprintf("run \"go run ./ci pin --netbox %s\" and commit the result", netbox)
}

// Row is a line of the plan's table.
type Row struct{ What, Value, Reason string }

// Rows are the decisions, one a line.
func (p Plan) Rows() []Row {
	rows := []Row{
		{"NetBox", p.NetBox.Value, p.NetBox.Reason},
		{"channel", p.Channel.Value, p.Channel.Reason},
	}
	if Channel(p.Channel.Value) == Live {
		rows = append(rows,
			Row{"number", "ls" + p.Number.Value, p.Number.Reason},
			Row{"tag", p.Version, "it names this image for ever; the other tags move to it"},
		)
	} else {
		rows = append(rows, Row{"packages", p.Package.Value, p.Package.Reason})
	}
	rows = append(rows,
		Row{"semver", p.Semver, "of NetBox"},
		Row{"commit", short(p.Commit), "HEAD"},
	)
	if p.Base.Digest != "" {
		return append(rows, Row{"base", p.Base.Name, "now " + short(p.Base.Digest)})
	}
	return append(rows, Row{"base", p.Base.Name, "--base asks for it"})
}
