package attest

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Verdict is what came of one check.
type Verdict string

// Verdicts. Unproven is what is not there, or could not be checked, and was
// not asked for either.
const (
	Proven   Verdict = "proven"
	Unproven Verdict = "unproven"
	Wrong    Verdict = "wrong"
	Missing  Verdict = "missing"
)

// What is checked.
const (
	whatIndex      = "index"
	whatImage      = "image"
	whatLabels     = "labels"
	whatSignature  = "signature"
	whatProvenance = "provenance"
	whatPackages   = "sbom"
	whatReport     = "report"
	whatOthers     = "others"
	whatRebuild    = "rebuild"
)

// Demandable lists what a Demand can require to be there.
func Demandable() []string {
	return []string{whatSignature, whatProvenance, whatPackages, whatReport}
}

// Line is one thing that was checked.
type Line struct {
	Verdict Verdict `json:"verdict"`
	Of      string  `json:"of"` // "index" or a platform
	What    string  `json:"what"`
	Text    string  `json:"text"`
}

// Result is all that was found out of a reference.
type Result struct {
	Reference string `json:"reference"`
	Digest    string `json:"digest"`
	Passed    bool   `json:"passed"` // whether Err is nil
	Lines     []Line `json:"lines"`
}

// Rebuilt adds what came of building the image of a platform again. Another image
// is wrong, unless what was built from has changed since and explains it.
func (r *Result) Rebuilt(platform, commit string, same, explained bool, text string) {
	verdict := Wrong
	switch {
	case same:
		verdict = Proven
	case explained:
		verdict = Unproven
	}
	r.Lines = append(r.Lines, Line{verdict, platform, whatRebuild, fmt.Sprintf("commit %s was built again: %s", commit, text)})
	r.Passed = r.Err() == nil
}

// Err is nil unless something is wrong or something demanded is missing.
func (r Result) Err() error {
	bad := slices.DeleteFunc(slices.Clone(r.Lines), func(l Line) bool { return l.Verdict != Wrong && l.Verdict != Missing })
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("verify %s: %d of %d checks failed: %s of %s: %s", r.Reference, len(bad), len(r.Lines), bad[0].What, bad[0].Of, bad[0].Text)
}

// Text writes the result for people.
func (r Result) Text(out io.Writer) error {
	fmt.Fprintf(out, "%s is %s\n\n", r.Reference, r.Digest)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	count := map[Verdict]int{}
	for _, l := range r.Lines {
		count[l.Verdict]++
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", l.Verdict, l.Of, l.What, l.Text)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write what was verified: %w", err)
	}
	var sum []string
	for _, v := range []Verdict{Proven, Unproven, Wrong, Missing} {
		if count[v] > 0 {
			sum = append(sum, fmt.Sprintf("%d %s", count[v], v))
		}
	}
	_, err := fmt.Fprintf(out, "\n%s\n", strings.Join(sum, ", "))
	return err
}
