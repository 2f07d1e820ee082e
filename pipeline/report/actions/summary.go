package actions

import (
	"embed"
	"errors"
	"fmt"
	"strings"
	"text/template"

	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// Report reports the result of a run: a summary, an annotation for each error, and
// outputs. mermaid is the init graph, "" when there is none.
func (s *Sink) Report(r report.Report, mermaid string) error {
	if s == nil {
		return nil
	}
	for _, f := range r.Failures() {
		s.Error(f.Why())
	}
	errs := []error{
		s.page("report.md.tmpl", summary{r, s.RunURL(), s.repository(), mermaid}),
		s.Output("verdict", string(r.Verdict())),
		s.Output("why", s.hide(r.Why())),
		s.Output("version", r.Version),
	}
	for _, p := range r.Platforms {
		if p.Image != "" {
			errs = append(errs, s.Output("digest-"+strings.ReplaceAll(p.Platform, "/", "-"), p.Image))
		}
	}
	if r.Index != "" {
		errs = append(errs, s.Output("digest", r.Index))
	}
	if len(r.Published) > 0 {
		var tags []string
		for _, t := range r.Published {
			tags = append(tags, t.Reference)
		}
		errs = append(errs, s.Output("tags", strings.Join(tags, "\n")))
	}
	for _, m := range r.Missed {
		s.Warning(fmt.Sprintf("publish: %s was missed, its registry is optional: %s", m.Reference, m.Error))
	}
	return errors.Join(errs...)
}

// summary is the data of report.md.tmpl.
type summary struct {
	report.Report
	Run, Repository, Mermaid string
}

// Notes returns all failures, the reasons for skipped stages, and the differences of
// packages, in Markdown.
func (s summary) Notes() (notes []string) {
	for _, f := range s.Failures() {
		notes = append(notes, escape(f.Why()))
	}
	for _, stage := range s.Stages {
		if stage.Skipped != "" {
			notes = append(notes, fmt.Sprintf("%s was skipped: %s", stage.Key, escape(stage.Skipped)))
		}
	}
	if s.Difference != nil {
		notes = append(notes, escape(s.Difference.Headline()))
	}
	if len(s.Unlisted) > 0 {
		notes = append(notes, fmt.Sprintf("`%s` is not what the image holds (%s): `go run ./ci packages` writes it", sbom.ListFile, sbom.Counts(s.Unlisted)))
	}
	return notes
}

// Plan reports a planned release: a summary, outputs, and a notice when there is
// nothing to release.
func (s *Sink) Plan(p release.Plan) error {
	if s == nil {
		return nil
	}
	if p.Skip != "" {
		s.Notice(p.Headline())
	}
	for _, pin := range p.Images {
		if pin.Behind() {
			s.Warning(pin.Name + " is " + pin.State())
		}
	}
	return errors.Join(
		s.page("plan.md.tmpl", p),
		s.Output("skip", s.hide(p.Skip)),
		s.Output("pin", p.Pin),
		s.Output("version", p.Version),
		s.Output("netbox", p.NetBox.Value),
		s.Output("channel", p.Channel.Value),
		s.Output("tags", strings.Join(p.Tags, "\n")),
		s.Output("repositories", strings.Join(p.Repositories, "\n")),
		s.Output("repository", p.Repositories[0]),
		s.Output("why", s.hide(p.Why())),
	)
}

var (
	//go:embed *.md.tmpl
	texts embed.FS
	pages = template.Must(template.New("").Funcs(template.FuncMap{
		"mark": mark, "escape": escape, "join": strings.Join, "seconds": report.Seconds,
		"short":     func(commit string) string { return commit[:min(12, len(commit))] },
		"clean":     func(commit string) string { return strings.TrimSuffix(commit, "-dirty") },
		"megabytes": func(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }, // 10^6 bytes, as registries count
	}).ParseFS(texts, "*"))
)

// page adds a rendered template to the summary of the step.
func (s *Sink) page(name string, data any) error {
	var b strings.Builder
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		return fmt.Errorf("write the step summary for GitHub Actions: %w", err)
	}
	return s.Summary(b.String())
}

// mark returns an emoji that makes a verdict visible in a long page.
func mark(v report.Verdict) string {
	switch v {
	case report.Passed:
		return "✅"
	case report.Skipped:
		return "⏭️"
	}
	return "❌"
}

// escape makes text fit into one table cell and escapes Markdown and HTML in it.
func escape(text string) string {
	return strings.NewReplacer("\n", " ", "\\", "\\\\", "|", "\\|", "<", "&lt;", ">", "&gt;", "&", "&amp;", "*", "\\*", "_", "\\_", "`", "\\`", "[", "\\[", "]", "\\]", "@", "&#64;", "$", "\\$").Replace(text)
}
