package actions

import (
	"errors"
	"fmt"
	"html"
	"maps"
	"slices"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// Report reports what a run of the pipeline came to: a summary, an annotation
// for each error, and outputs. mermaid is the init graph, "" when there is none.
func (s *Sink) Report(r report.Report, mermaid string) error {
	if s == nil {
		return nil
	}
	for _, f := range r.Failures() {
		s.Error(f.Why())
	}
	verdict, why, _ := r.Verdict()
	errs := []error{
		s.Summary(s.markdown(r, mermaid)),
		s.Output("verdict", string(verdict)),
		s.Output("why", s.hide(why)),
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

// markdown is the summary of a run.
func (s *Sink) markdown(r report.Report, mermaid string) string {
	var b strings.Builder
	verdict, why, _ := r.Verdict()
	fmt.Fprintf(&b, "## %s %s: %s\n\n", mark(verdict), r.Project, escape(why))
	if f := r.Failure(); f != nil {
		fmt.Fprintf(&b, "**Next:** %s The report is an [artifact of this run](%s#artifacts): open its `index.html`.\n\n", escape(f.Next), s.RunURL())
		if len(f.Output) > 0 {
			fmt.Fprintf(&b, "<details open><summary>The last lines</summary>\n\n<pre>%s</pre>\n\n</details>\n\n", html.EscapeString(strings.Join(f.Output[max(0, len(f.Output)-10):], "\n")))
		}
	}
	fmt.Fprintf(&b, "NetBox [%s](https://github.com/netbox-community/netbox/releases/tag/v%[1]s) · commit [%s](%s) · base `%s` · engine %s · %.0f s · [this run and its report](%s)\n\n",
		r.Version, short(r.Commit), s.repository()+"/commit/"+strings.TrimSuffix(r.Commit, "-dirty"), r.Base.Name, r.Engine, r.Seconds, s.RunURL()+"#artifacts")

	if len(r.Platforms) > 0 {
		b.WriteString("| Platform | Verdict | Image | Size | First 200 | Stop | Peak memory |\n| --- | --- | --- | ---: | ---: | ---: | ---: |\n")
		for _, p := range r.Platforms {
			first, stop, peak := "–", "–", "–"
			if p.Boot != nil {
				first, stop = report.Seconds(p.Boot.FirstOK), report.Seconds(p.Boot.Stop)
				if p.Boot.PeakMemory > 0 {
					peak = megabytes(p.Boot.PeakMemory)
				}
			}
			worst, _ := r.PlatformVerdict(p.Platform)
			fmt.Fprintf(&b, "| %s | %s | `%s` | %s | %s | %s | %s |\n", p.Platform, mark(worst)+" "+string(worst), p.Image, megabytes(p.Size), first, stop, peak)
		}
		b.WriteString("\n")
	}

	b.WriteString("| Stage | Platform | Verdict | Time |\n| --- | --- | --- | ---: |\n")
	for _, stage := range r.Outcomes() {
		took := "–"
		if stage.Ran() {
			took = fmt.Sprintf("%.1f s", stage.Seconds)
		}
		fmt.Fprintf(&b, "| %s | %s | %s %s | %s |\n", stage.Stage, stage.Platform, mark(stage.Verdict()), stage.Verdict(), took)
	}

	var notes []string
	for _, f := range r.Failures() {
		notes = append(notes, "- "+escape(f.Why()))
	}
	for _, stage := range r.Stages {
		if stage.Skipped != "" {
			notes = append(notes, fmt.Sprintf("- %s was skipped: %s", stage.Key, escape(stage.Skipped)))
		}
	}
	if r.Difference != nil {
		notes = append(notes, "- "+escape(r.Difference.Headline()))
	}
	if len(r.Unlisted) > 0 {
		notes = append(notes, fmt.Sprintf("- `%s` is not what the image holds (%s): `go run ./ci packages` writes it", sbom.ListFile, sbom.Counts(r.Unlisted)))
	}
	if len(notes) > 0 {
		fmt.Fprintf(&b, "\n%s\n", strings.Join(notes, "\n"))
	}
	if len(r.Published) > 0 {
		b.WriteString("\n| Tag | Digest |\n| --- | --- |\n")
		for _, t := range r.Published {
			note := ""
			if t.Unchanged {
				note = " (unchanged)"
			}
			fmt.Fprintf(&b, "| `%s`%s | `%s` |\n", t.Reference, note, t.Digest)
		}
	}
	if len(r.Missed) > 0 {
		b.WriteString("\n| Missed, on optional registries | Why |\n| --- | --- |\n")
		for _, m := range r.Missed {
			fmt.Fprintf(&b, "| `%s` | %s |\n", m.Reference, escape(m.Error))
		}
	}
	if mermaid != "" {
		fmt.Fprintf(&b, "\n<details><summary>In which order the services start</summary>\n\n```mermaid\n%s```\n\n</details>\n", mermaid)
	}
	return b.String()
}

// Plan reports what a release would be: a summary, outputs, and a notice when
// nothing is to be released.
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
		s.Summary(planMarkdown(p)),
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

func planMarkdown(p release.Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## Plan: %s\n\n", escape(p.Headline()))
	for _, next := range p.Next {
		fmt.Fprintf(&b, "**Next:** %s\n\n", escape(next))
	}
	b.WriteString("| Decision | Value | Why |\n| --- | --- | --- |\n")
	for _, row := range p.Rows() {
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", row.What, row.Value, escape(row.Reason))
	}
	b.WriteString("\n| Since the published image | | |\n| --- | --- | --- |\n")
	for _, c := range p.Changes {
		verdict := "same"
		if c.Changed {
			verdict = "**changed**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", c.What, verdict, escape(c.Reason))
	}
	if len(p.Images) > 0 {
		b.WriteString("\n| Pinned image | |\n| --- | --- |\n")
		for _, pin := range p.Images {
			fmt.Fprintf(&b, "| `%s` | %s |\n", pin.Name, escape(pin.State()))
		}
	}
	b.WriteString("\n<details><summary>Tags and repositories</summary>\n\n| Of | Tags |\n| --- | --- |\n")
	fmt.Fprintf(&b, "| the index | `%s` |\n", strings.Join(p.Tags, "` `"))
	for _, platform := range slices.Sorted(maps.Keys(p.ImageTags)) {
		fmt.Fprintf(&b, "| %s | `%s` |\n", platform, strings.Join(p.ImageTags[platform], "` `"))
	}
	b.WriteString("\nin each of\n\n")
	for _, r := range p.Repositories {
		fmt.Fprintf(&b, "- `%s`\n", r)
	}
	b.WriteString("\n</details>\n")
	return b.String()
}

// mark makes a verdict be seen in a long page.
func mark(v report.Verdict) string {
	switch v {
	case report.Passed:
		return "✅"
	case report.Skipped:
		return "⏭️"
	}
	return "❌"
}

// escape keeps a line of text one cell of a table, and what is in it from
// being taken for Markdown or HTML.
func escape(text string) string {
	text = strings.ReplaceAll(text, "\n", " ")
	return strings.NewReplacer("\\", "\\\\", "|", "\\|", "<", "&lt;", ">", "&gt;", "&", "&amp;", "*", "\\*", "_", "\\_", "`", "\\`", "[", "\\[", "]", "\\]", "@", "&#64;", "$", "\\$").Replace(text)
}

func short(commit string) string { return commit[:min(12, len(commit))] }

// megabytes are 10^6 bytes, as registries count.
func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
