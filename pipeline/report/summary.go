package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// shownLines is how many of the lines that show what went wrong a summary has
// room for.
const shownLines = 10

// Summary shows the run to people: first the verdict and, when it failed, why
// and what to do next; then a table of the stages and the figures of each
// platform. Long lines are wrapped to the width, in columns; 0 leaves them as
// they are.
func (r Report) Summary(w io.Writer, width int) error {
	var b strings.Builder
	verdict, why, _ := r.Verdict()
	wrap(&b, width, fmt.Sprintf("%s: %s", verdict, why))
	if f := r.Failure(); f != nil {
		for _, line := range f.Output[max(0, len(f.Output)-shownLines):] {
			fmt.Fprintf(&b, "  | %s\n", line)
		}
		wrap(&b, width, "next: "+f.Next)
	}

	b.WriteString("\n")
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "STAGE\tPLATFORM\tVERDICT\tSECONDS\n")
	for _, s := range r.Outcomes() {
		took := "-"
		if s.Ran() {
			took = fmt.Sprintf("%.1f", s.Seconds)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%7s\n", s.Stage, s.Platform, s.Verdict(), took)
	}
	fmt.Fprintf(t, "all\t\t%s\t%7.1f\n", verdict, r.Seconds)
	t.Flush()

	r.details(&b, width)
	_, err := io.WriteString(w, b.String())
	return err
}

// details shows the failures beyond the first, what was skipped and why, the
// figures and the tags.
func (r Report) details(b *strings.Builder, width int) {
	var notes []string
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
	if len(notes) > 0 {
		b.WriteString("\n")
	}
	for _, note := range notes {
		wrap(b, width, note)
	}

	if len(r.Platforms) > 0 {
		b.WriteString("\n")
	}
	for _, p := range r.Platforms {
		fmt.Fprintf(b, "%s", p.Platform)
		if p.Size > 0 {
			fmt.Fprintf(b, ", %.1f MB", megabytes(p.Size))
		}
		if p.Boot != nil {
			fmt.Fprintf(b, ", 200 after %s, stop in %s", Seconds(p.Boot.FirstOK), Seconds(p.Boot.Stop))
			if p.Boot.PeakMemory > 0 {
				fmt.Fprintf(b, ", peak %.0f MB", megabytes(p.Boot.PeakMemory))
			}
		}
		b.WriteString("\n")
		for i, g := range p.Groups {
			separator := ", "
			if i == 0 {
				separator = "  "
			}
			fmt.Fprintf(b, "%s%s %.1f", separator, g.Name, megabytes(g.Size))
		}
		if len(p.Groups) > 0 {
			b.WriteString("\n")
		}
	}

	if c := r.LastRun; c != nil {
		fmt.Fprintf(b, "\nsince the last run (%s, %s)\n", short(c.Commit), c.Started.UTC().Format("2 January 2006, 15:04 UTC"))
		for _, line := range c.Lines {
			wrap(b, width, "  "+line)
		}
	}
	r.packages(b)
	if len(r.Published) > 0 {
		b.WriteString("\n")
	}
	for _, t := range r.Published {
		note := ""
		if t.Unchanged {
			note = " (unchanged)"
		}
		fmt.Fprintf(b, "%s%s\n  %s\n", t.Reference, note, t.Digest)
	}
	if len(r.Missed) > 0 {
		b.WriteString("\nnot pushed; the registry is optional, so the run passes\n")
	}
	for _, m := range r.Missed {
		fmt.Fprintf(b, "%s\n  %s\n", m.Reference, m.Error)
	}
}

// Seconds is a time in seconds as the figures of a boot show it: what was never
// reached took no time at all.
func Seconds(s float64) string {
	if s <= 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f s", s)
}

// wrap writes a line, broken at its spaces so that no part is wider than the
// columns given; the parts after the first are indented. A word that is wider
// stands alone.
func wrap(b *strings.Builder, columns int, line string) {
	const indent = "  "
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
	b.WriteString("\n")
}

// manyChanges is how many changed packages a summary has room for.
const manyChanges = 20

// packages reports which packages are not what was published or is listed.
func (r Report) packages(b *strings.Builder) {
	if d := r.Difference; d != nil {
		fmt.Fprintf(b, "\n%s\n", d.Headline())
		_ = sbom.Text(b, d.Packages[:min(manyChanges, len(d.Packages))], d.Platforms) // a Builder takes all
		if more := len(d.Packages) - manyChanges; more > 0 {
			fmt.Fprintf(b, "  and %d more\n", more)
		}
		for _, unknown := range d.Unknown {
			fmt.Fprintf(b, "not compared: %s\n", unknown)
		}
	}
	if len(r.Unlisted) > 0 {
		fmt.Fprintf(b, "\n%s is not what the image holds: run \"go run ./ci packages\"\n  %s\n", sbom.ListFile, sbom.Counts(r.Unlisted))
	}
}

// megabytes are 10^6 bytes, as registries count.
func megabytes(n int64) float64 { return float64(n) / 1e6 }
