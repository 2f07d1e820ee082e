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

// Summary writes a summary of the run: first the verdict and, after a failure, the
// reason and what to do next; then a table of the stages and the figures of each
// platform. Lines are wrapped to width, in columns, unless it is 0.
func (r Report) Summary(w io.Writer, width int) error {
	return template.Must(template.New("summary").Funcs(template.FuncMap{
		"table": table, "notes": notes, "changes": changes, "counts": sbom.Counts,
		"megabytes": megabytes, "seconds": Seconds, "short": short,
		"wrap": func(line string) string { return wrap(line, width) },
	}).Parse(summaryText)).Execute(w, r)
}

// table formats the stages, with the whole run in the last row.
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

// notes returns the failures after the first, and the reasons for skipped stages.
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

// manyChanges is the maximum number of changed packages in a summary.
const manyChanges = 20

// changes lists the packages that differ from the published image.
func changes(d sbom.Difference) string {
	var b strings.Builder
	_ = sbom.Text(&b, d.Packages[:min(manyChanges, len(d.Packages))], d.Platforms) // writing to a Builder cannot fail
	if more := len(d.Packages) - manyChanges; more > 0 {
		fmt.Fprintf(&b, "  and %d more\n", more)
	}
	return b.String()
}

// Seconds formats a time for the figures of a boot. 0 means that it was never
// reached.
func Seconds(s float64) string {
	if s <= 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f s", s)
}

// wrap breaks a line at spaces into parts of at most the given columns, and indents
// all but the first. A longer word gets a line of its own.
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

// megabytes converts bytes to units of 10^6 bytes, as registries count.
func megabytes(n int64) float64 { return float64(n) / 1e6 }
