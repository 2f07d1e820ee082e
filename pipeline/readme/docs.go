package readme

import (
	"cmp"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Docs renders the page for the documentation site, which uses MkDocs with the
// Material theme: front matter for its index, a table for each kind of parameter,
// and admonitions and collapsible blocks in the site's syntax.
func (v *Vars) Docs(extra Extra) ([]byte, error) {
	head := struct {
		Title       string   `yaml:"title"`
		Tags        []string `yaml:"tags,omitempty"`
		Description string   `yaml:"description"`
	}{Title: v.Name, Description: strings.Join(strings.Fields(v.Blurb), " ")}
	for tag := range strings.SplitSeq(v.Categories, ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			head.Tags = append(head.Tags, tag)
		}
	}
	page := ""
	front, err := yaml.Marshal(head)
	if err == nil {
		page, err = v.page("docs.md.tmpl", content{Extra: Extra{Guides: extra.Guides}, Site: true, FrontMatter: "---\n" + string(front) + "---\n", Tables: v.tables()})
	}
	if err != nil {
		return nil, fmt.Errorf("rendering the page of the documentation site: %w", err)
	}
	return []byte(material(page, v.siteLinks(extra.Guides))), nil
}

// tables returns a table of parameters for each kind.
func (v *Vars) tables() []table {
	tables := []table{
		{Title: "Ports (`-p`)", Column: "Parameter"},
		{Title: "Environment Variables (`-e`)", Column: "Env"},
		{Title: "Volume Mappings (`-v`)", Column: "Volume"},
		{Title: "Device Mappings (`--device`)", Column: "Parameter"},
	}
	others := table{Title: "Miscellaneous Options", Column: "Parameter"}
	kinds := []kind{port, environment, volume, device}
	for _, e := range v.rows() {
		in := &others
		if i := slices.Index(kinds, e.kind); i >= 0 {
			in = &tables[i]
			if _, e.Param, _ = strings.Cut(e.Param, " "); e.kind == port { // the flag is in the title
				e.Param = e.value
			}
		}
		in.Rows = append(in.Rows, e)
	}
	tables = slices.DeleteFunc(tables, func(t table) bool { return len(t.Rows) == 0 })
	return append(tables, others)
}

var (
	githubCallOut = regexp.MustCompile(`^> ?\[!(\w+)\]$`)
	summary       = regexp.MustCompile(`^<summary>(.*)</summary>$`)
	listItem      = regexp.MustCompile(`^(?:[*+-]|\d+\.) `)
)

// admonitions maps GitHub's call-outs to the site's admonitions.
var admonitions = map[string]string{
	"NOTE": "info", "TIP": "tip", "IMPORTANT": `info "Important"`, "WARNING": "warning", "CAUTION": "danger",
}

// material converts GitHub's Markdown to that of the site, including the texts of
// the variables: call-outs, collapsible blocks, links to headings, and lists, which
// need an empty line before them. files converts links to files.
func material(page string, files func(file, anchor string) string) string {
	var out []string
	anchors := map[string]string{}
	for line, inCode := range eachLine(page) {
		if text := strings.TrimLeft(line, "#"); text != line && strings.HasPrefix(text, " ") && !inCode {
			text = linked.ReplaceAllString(strings.TrimSpace(text), "$1")
			anchors["](#"+anchorGitHub(text)+")"] = "](#" + anchorMkDocs(text) + ")"
		}
	}
	pad, inCallOut, last := "", false, ""
	put := func(line string) {
		if line != "" {
			line = pad + line
		}
		out = append(out, line)
	}
	for line, inCode := range eachLine(page) {
		if inCode {
			put(line)
			last = line
			continue
		}
		line = ownLink.ReplaceAllStringFunc(relink(line, files), func(own string) string { return cmp.Or(anchors[own], own) })
		kind := githubCallOut.FindStringSubmatch(line)
		title := summary.FindStringSubmatch(line)
		switch {
		case inCallOut && strings.HasPrefix(line, ">"):
			put(strings.TrimRight("    "+strings.TrimPrefix(strings.TrimPrefix(line, ">"), " "), " "))
			continue
		case kind != nil && admonitions[kind[1]] != "":
			inCallOut = true
			put("!!! " + admonitions[kind[1]])
			put("")
			continue
		case line == "<details>":
			continue
		case title != nil:
			put(fmt.Sprintf("??? info %q", title[1]))
			pad += "    "
			continue
		case line == "</details>":
			pad = strings.TrimPrefix(pad, "    ")
			continue
		}
		inCallOut = false
		if listItem.MatchString(line) && last != "" && !listItem.MatchString(last) && !strings.HasPrefix(last, " ") {
			put("")
		}
		put(line)
		last = line
	}
	return tidy(strings.Join(out, "\n"))
}

// eachLine yields each line of a page and whether it belongs to a code block,
// including its fences.
func eachLine(page string) iter.Seq2[string, bool] {
	return func(yield func(line string, inCode bool) bool) {
		fence := ""
		for line := range strings.SplitSeq(page, "\n") {
			marker := strings.TrimLeft(line, " ")
			inCode := fence != ""
			switch {
			case inCode && strings.HasPrefix(marker, fence) && strings.Trim(marker, fence[:1]) == "":
				fence = ""
			case !inCode && (strings.HasPrefix(marker, "```") || strings.HasPrefix(marker, "~~~")):
				fence, inCode = marker[:len(marker)-len(strings.TrimLeft(marker, marker[:1]))], true
			}
			if !yield(line, inCode) {
				return
			}
		}
	}
}

var (
	ownLink = regexp.MustCompile(`\]\(#[^)\s]+\)`)
	linked  = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	notSlug = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	gaps    = regexp.MustCompile(`[-\s]+`)
)

// anchorGitHub returns GitHub's anchor for a heading.
func anchorGitHub(text string) string {
	return strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(text), ""), " ", "-")
}

// anchorMkDocs returns MkDocs's anchor for a heading.
func anchorMkDocs(text string) string {
	return gaps.ReplaceAllString(strings.TrimSpace(notSlug.ReplaceAllString(strings.ToLower(text), "")), "-")
}
