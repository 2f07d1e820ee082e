package release

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// maxNotes is GitHub's limit for the notes of a release, 125,000 characters, less
// room for the line about the cut.
const maxNotes = 124_000

//go:embed notes.md.tmpl
var notesText string

var notes = template.Must(template.New("notes").Funcs(template.FuncMap{
	"capital": func(text string) string { return strings.ToUpper(text[:1]) + text[1:] },
	"escape":  escape,
	"join":    strings.Join,
	"sizes":   sizes,
}).Parse(notesText))

// Notes returns the release notes in GitHub's Markdown. r is the report of the run
// that released, run the URL of its page, or "".
func (p Plan) Notes(r report.Report, run string) (string, error) {
	about := struct {
		Plan   Plan
		Report report.Report
		Run    string
		Why    []string
	}{p, r, run, nil}
	if p.Published != nil {
		about.Why = p.reasons(true)
	}
	var b strings.Builder
	if err := notes.Execute(&b, about); err != nil {
		return "", fmt.Errorf("write the text of the release: %w", err)
	}
	body := b.String()
	if len(body) > maxNotes {
		body = strings.ToValidUTF8(body[:maxNotes], "")
		body = body[:strings.LastIndexByte(body, '\n')+1] + "\n…cut: the report has the rest.\n"
	}
	return body, nil
}

// sizeTable has a row for each group of files and one for their sum, and a column
// for each platform.
type sizeTable struct {
	Platforms []string
	Rows      [][]string
}

// sizes returns a table of the groups' sizes by platform; nil when none is known.
func sizes(list []sbom.Size) *sizeTable {
	if len(list) == 0 {
		return nil
	}
	var t sizeTable
	var groups []string
	at := map[[2]string]sbom.Size{}
	for _, s := range list {
		if !slices.Contains(t.Platforms, s.Platform) {
			t.Platforms = append(t.Platforms, s.Platform)
		}
		if !slices.Contains(groups, s.Group) {
			groups = append(groups, s.Group)
		}
		for _, group := range []string{s.Group, "all"} {
			sum := at[[2]string{s.Platform, group}]
			at[[2]string{s.Platform, group}] = sbom.Size{Old: sum.Old + s.Old, New: sum.New + s.New}
		}
	}
	for _, group := range append(groups, "all") {
		row := []string{group}
		for _, platform := range t.Platforms {
			s := at[[2]string{platform, group}]
			cell := fmt.Sprintf("%.1f", float64(s.New)/1e6) // MB, as registries display
			if change := fmt.Sprintf("%+.1f", float64(s.New-s.Old)/1e6); change != "+0.0" && change != "-0.0" {
				cell += " (" + change + ")"
			}
			row = append(row, cell)
		}
		t.Rows = append(t.Rows, row)
	}
	return &t
}

var special = regexp.MustCompile("[\\\\`*_{}\\[\\]()<>|~!]")

// escape escapes Markdown and @mentions: names of packages and subjects of commits
// must neither format the notes nor notify people.
func escape(text string) string {
	text = strings.ReplaceAll(text, "&", "&amp;")
	text = special.ReplaceAllString(text, `\$0`)
	return strings.ReplaceAll(text, "@", "@<!-- -->")
}
