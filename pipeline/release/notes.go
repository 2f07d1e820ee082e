package release

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// Outcome is what came of carrying a plan out.
type Outcome struct {
	Index      string            // digest
	Images     map[string]string // digest by platform
	Difference *sbom.Difference  // to the published index, nil when nobody looked
	Missed     []string          // references on optional registries that do not have it
	Run        string            // page of the run, "" when it has none
}

// Notes are what a release says of itself where it is announced.
type Notes struct{ Tag, Title, Body string }

// longestBody is what GitHub takes for a release, 125,000 characters, less a
// line that says so.
const longestBody = 124_000

// Notes is the text of the release, in GitHub's Markdown.
func (p Plan) Notes(o Outcome) Notes {
	var b strings.Builder
	d := o.Difference
	fmt.Fprintf(&b, "NetBox [%s](%s/releases/tag/v%[1]s)", p.NetBox.Value, upstreamURL)
	switch {
	case d == nil:
	case d.Since == nil:
		b.WriteString(", the first release of this image")
	case d.NetBox != nil && d.NetBox.Kind() == "changed":
		fmt.Fprintf(&b, ", before it was %s: [what is new](%s/compare/v%[1]s...v%[3]s)", d.NetBox.Old, upstreamURL, d.NetBox.New)
	}
	b.WriteString(".\n")

	if reasons := p.reasons(); len(reasons) > 0 && p.Published != nil {
		fmt.Fprintf(&b, "\n## Why\n\nSince %s:\n\n", cmp.Or(p.Published.Version, p.Published.Reference))
		for _, reason := range reasons {
			fmt.Fprintf(&b, "- %s\n", escape(reason))
		}
	}
	p.images(&b, o)
	if d != nil && d.Since != nil {
		commits(&b, *d)
		packages(&b, *d)
		sizes(&b, *d)
		for _, unknown := range d.Unknown {
			fmt.Fprintf(&b, "\nNot compared: %s.\n", escape(unknown))
		}
	}
	if o.Run != "" {
		fmt.Fprintf(&b, "\nBuilt, booted and checked by [this run](%s), which keeps the report.\n", o.Run)
	}
	body := b.String()
	if len(body) > longestBody {
		body = strings.ToValidUTF8(body[:longestBody], "")
		body = body[:strings.LastIndexByte(body, '\n')+1] + "\n…cut: the report has the rest.\n"
	}
	return Notes{Tag: p.Version, Title: p.Version, Body: body}
}

const upstreamURL = "https://github.com/netbox-community/netbox"

// images reports where the images are, and how to name them for good.
func (p Plan) images(b *strings.Builder, o Outcome) {
	b.WriteString("\n## Images\n\n```bash\n")
	for _, repository := range p.Repositories {
		fmt.Fprintf(b, "docker pull %s:%s\n", repository, p.Version)
	}
	b.WriteString("```\n\n| | Digest | Tags |\n| --- | --- | --- |\n")
	row := func(what, digest string, tags []string) {
		fmt.Fprintf(b, "| %s | `%s` | `%s` |\n", what, digest, strings.Join(tags, "`, `"))
	}
	row("all", o.Index, p.Tags)
	for _, platform := range slices.Sorted(maps.Keys(o.Images)) {
		row(platform, o.Images[platform], p.ImageTags[platform])
	}
	if len(o.Missed) > 0 {
		fmt.Fprintf(b, "\nMissing, because their registry refused them: `%s`.\n", strings.Join(o.Missed, "`, `"))
	}
}

func commits(b *strings.Builder, d sbom.Difference) {
	if len(d.Commits) == 0 {
		return
	}
	b.WriteString("\n## Changes of this image\n\n")
	for _, c := range d.Commits {
		fmt.Fprintf(b, "- %s %s\n", c.Commit, escape(c.Subject)) // GitHub makes a link of a commit's name
	}
}

// fewPackages are shown without being asked for.
const fewPackages = 25

func packages(b *strings.Builder, d sbom.Difference) {
	headline := d.Headline()
	fmt.Fprintf(b, "\n## Packages\n\n%s%s.\n", strings.ToUpper(headline[:1]), headline[1:])
	if len(d.Packages) == 0 {
		return
	}
	folded := len(d.Packages) > fewPackages
	if folded {
		b.WriteString("\n<details><summary>All of them</summary>\n")
	}
	b.WriteString("\n| Package | | Before | Now | Only in |\n| --- | --- | --- | --- | --- |\n")
	for _, c := range d.Packages {
		where := ""
		if len(c.Platforms) < len(d.Platforms) {
			where = strings.Join(c.Platforms, ", ")
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", escape(c.Name), escape(c.Type), escape(cmp.Or(c.Old, "–")), escape(cmp.Or(c.New, "–")), where)
	}
	if folded {
		b.WriteString("\n</details>\n")
	}
}

// sizes lists the size of each group by platform.
func sizes(b *strings.Builder, d sbom.Difference) {
	var platforms, groups []string
	at := map[[2]string]sbom.Size{}
	total := map[string]sbom.Size{}
	for _, s := range d.Sizes {
		if !slices.Contains(platforms, s.Platform) {
			platforms = append(platforms, s.Platform)
		}
		if !slices.Contains(groups, s.Group) {
			groups = append(groups, s.Group)
		}
		at[[2]string{s.Platform, s.Group}] = s
		t := total[s.Platform]
		total[s.Platform] = sbom.Size{Old: t.Old + s.Old, New: t.New + s.New}
	}
	if len(groups) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## Size\n\nCompressed, in MB.\n\n| | %s |\n| --- |%s\n", strings.Join(platforms, " | "), strings.Repeat(" ---: |", len(platforms)))
	row := func(group string, of func(platform string) sbom.Size) {
		fmt.Fprintf(b, "| %s |", group)
		for _, platform := range platforms {
			s := of(platform)
			fmt.Fprintf(b, " %.1f", megabytes(s.New))
			if change := fmt.Sprintf("%+.1f", megabytes(s.New-s.Old)); change != "+0.0" && change != "-0.0" {
				fmt.Fprintf(b, " (%s)", change)
			}
			b.WriteString(" |")
		}
		b.WriteString("\n")
	}
	for _, group := range groups {
		row(group, func(platform string) sbom.Size { return at[[2]string{platform, group}] })
	}
	row("all", func(platform string) sbom.Size { return total[platform] })
}

// megabytes are 10^6 bytes, as registries count.
func megabytes(n int64) float64 { return float64(n) / 1e6 }

var special = regexp.MustCompile("[\\\\`*_{}\\[\\]()<>|~!]")

// escape has a text read as it is: what somebody calls a commit or a package is
// no Markdown, and must not call on people.
func escape(text string) string {
	text = strings.ReplaceAll(text, "&", "&amp;")
	text = special.ReplaceAllString(text, `\$0`)
	return strings.ReplaceAll(text, "@", "@<!-- -->")
}
