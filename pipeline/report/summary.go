package report

import (
	_ "embed"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"text/template"
	"unicode/utf8"

	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

//go:embed summary.txt.tmpl
var summaryText string

// Summary shows the run to people: first the verdict and, when it failed, why
// and what to do next; then a table of the stages and the figures of each
// platform. Long lines are wrapped to the width, in columns; 0 leaves them as
// they are.
func (r Report) Summary(w io.Writer, width int) error {
	return template.Must(template.New("summary").Funcs(template.FuncMap{
		"table": table, "notes": notes, "changes": changes, "counts": sbom.Counts,
		"megabytes": megabytes, "seconds": Seconds, "short": short,
		"wrap": func(line string) string { return wrap(line, width) },
	}).Parse(summaryText)).Execute(w, r)
}

// table shows the stages, and the whole run in its last row.
func table(stages []Stage, verdict Verdict, seconds float64) string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "STAGE\tPLATFORM\tVERDICT\tSECONDS\n")
	for _, s := range stages {
		took := "-"
		if s.Ran() {
			took = fmt.Sprintf("%.1f", s.Seconds)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%7s\n", s.Stage, s.Platform, s.Verdict(), took)
	}
	fmt.Fprintf(t, "all\t\t%s\t%7.1f\n", verdict, seconds)
	t.Flush()
	return b.String()
}

// notes are the failures beyond the first, and what was skipped and why.
func notes(r Report) (notes []string) {
	for i, f := range r.Failures() {
		if i > 0 {
			notes = append(notes, f.Why())
		}
	}
	for _, s := range r.Stages {
		if s.Verdict() == Skipped {
			notes = append(notes, fmt.Sprintf("%s: skipped: %s", s.Key, s.Skipped))
		}
	}
	return notes
}

// manyChanges is how many changed packages a summary has room for.
const manyChanges = 20

// changes are the packages that are not as they were published.
func changes(d sbom.Difference) string {
	var b strings.Builder
	_ = sbom.Text(&b, d.Packages[:min(manyChanges, len(d.Packages))], d.Platforms) // a Builder takes all
	if more := len(d.Packages) - manyChanges; more > 0 {
		fmt.Fprintf(&b, "  and %d more\n", more)
	}
	return b.String()
}

// Seconds is a time in seconds as the figures of a boot show it: what was never
// reached took no time at all.
func Seconds(s float64) string {
	if s <= 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f s", s)
}

// wrap breaks a line at its spaces so that no part is wider than the columns
// given; the parts after the first are indented. A word that is wider stands
// alone.
func wrap(line string, columns int) string {
	const indent = "  "
	var b strings.Builder
	at := 0
	for i, word := range strings.Split(line, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case columns > 0 && at+1+n > columns:
			b.WriteString("\n" + indent)
			at = len(indent)
		default:
			b.WriteString(" ")
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String() + "\n"
}

// megabytes are 10^6 bytes, as registries count.
func megabytes(n int64) float64 { return float64(n) / 1e6 }
