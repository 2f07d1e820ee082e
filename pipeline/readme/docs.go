package readme

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Docs renders the page for the documentation site, which MkDocs makes with
// the Material theme: front matter for its index, a table for each kind of
// parameter, admonitions and folds in the site's own syntax.
func (v *Vars) Docs(extra Extra) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("rendering the page of the documentation site: %w", err)
	}
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
	front, err := yaml.Marshal(head)
	if err != nil {
		return fail(err)
	}
	page, err := v.page("docs.md.tmpl", content{Extra: Extra{Guides: extra.Guides}, Site: true, FrontMatter: "---\n" + string(front) + "---\n", Tables: v.tables()})
	if err != nil {
		return fail(err)
	}
	return []byte(material(v.onOnePage(page, extra.Guides))), nil
}

// tables are the parameters by kind.
func (v *Vars) tables() []table {
	kinds := []kind{port, environment, volume, device}
	tables := []table{
		{Title: "Ports (`-p`)", Column: "Parameter"},
		{Title: "Environment Variables (`-e`)", Column: "Env"},
		{Title: "Volume Mappings (`-v`)", Column: "Volume"},
		{Title: "Device Mappings (`--device`)", Column: "Parameter"},
		{Title: "Miscellaneous Options", Column: "Parameter"},
	}
	others := len(kinds)
	for _, e := range inOrder(v.entries(), shown, tableOrder[:]) {
		at := slices.Index(kinds, e.kind)
		switch {
		case at < 0:
			at = others
		case e.kind == port:
			e.param = e.value
		default:
			_, e.param, _ = strings.Cut(e.param, " ") // the title has the flag
		}
		tables[at].Rows = append(tables[at].Rows, e)
	}
	filled := slices.DeleteFunc(slices.Clone(tables[:others]), func(t table) bool { return len(t.Rows) == 0 })
	return append(filled, tables[others])
}

var (
	callOut  = regexp.MustCompile(`^> ?\[!(\w+)\]$`)
	summary  = regexp.MustCompile(`^<summary>(.*)</summary>$`)
	listItem = regexp.MustCompile(`^(?:[*+-]|\d+\.) `)
	anchor   = regexp.MustCompile(`\]\(#[^)\s]+\)`) // of a heading: MkDocs makes one dash where GitHub makes two
	dashes   = regexp.MustCompile(`-+`)
)

// admonitions are the site's names for GitHub's call-outs.
var admonitions = map[string]string{
	"NOTE": "info", "TIP": "tip", "IMPORTANT": `info "Important"`, "WARNING": "warning", "CAUTION": "danger",
}

// material rewrites what GitHub's Markdown and that of the site spell
// differently, in the texts of the variables too: call-outs, folds, links to
// headings, and lists, which need an empty line before them.
func material(page string) string {
	var out []string
	pad, callOutOpen, last := "", false, ""
	put := func(line string) {
		if line != "" {
			line = pad + line
		}
		out = append(out, line)
	}
	eachLine(strings.TrimSuffix(page, "\n"), func(line string, inCode bool) {
		if inCode {
			put(line)
			last = line
			return
		}
		line = anchor.ReplaceAllStringFunc(line, func(link string) string { return dashes.ReplaceAllString(link, "-") })
		kind := callOut.FindStringSubmatch(line)
		title := summary.FindStringSubmatch(line)
		switch {
		case callOutOpen && strings.HasPrefix(line, ">"):
			put(strings.TrimRight("    "+strings.TrimPrefix(strings.TrimPrefix(line, ">"), " "), " "))
			return
		case kind != nil && admonitions[kind[1]] != "":
			callOutOpen = true
			put("!!! " + admonitions[kind[1]])
			put("")
			return
		case line == "<details>":
			return
		case title != nil:
			put(fmt.Sprintf("??? info %q", title[1]))
			pad += "    "
			return
		case line == "</details>":
			pad = strings.TrimPrefix(pad, "    ")
			return
		}
		callOutOpen = false
		if listItem.MatchString(line) && last != "" && !listItem.MatchString(last) && !strings.HasPrefix(last, " ") {
			put("")
		}
		put(line)
		last = line
	})
	return tidy(strings.Join(out, "\n"))
}

// codeBlock is the fence of the block that a line is in, empty outside of any.
type codeBlock string

// has reports whether the next line is part of a code block, fences included.
func (b *codeBlock) has(line string) bool {
	marker := strings.TrimLeft(line, " ")
	fence := string(*b)
	switch {
	case fence != "":
		if strings.HasPrefix(marker, fence) && strings.Trim(strings.TrimSpace(marker), fence[:1]) == "" {
			*b = ""
		}
		return true
	case strings.HasPrefix(marker, "```"), strings.HasPrefix(marker, "~~~"):
		*b = codeBlock(marker[:len(marker)-len(strings.TrimLeft(marker, marker[:1]))])
		return true
	}
	return false
}

// eachLine calls do for every line and reports whether it is part of a code
// block.
func eachLine(text string, do func(line string, inCode bool)) {
	var block codeBlock
	for line := range strings.SplitSeq(text, "\n") {
		do(line, block.has(line))
	}
}

var (
	linked  = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	notSlug = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchorGitHub is what GitHub makes of a heading.
func anchorGitHub(text string) string {
	return strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(text), ""), " ", "-")
}
