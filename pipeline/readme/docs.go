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
	return material(v.onOnePage(page, extra.Guides)), nil
}

// tables are the parameters by kind.
func (v *Vars) tables() []table {
	all := inOrder(v.entries(), shown, tableOrder[:])
	of := func(k kind, title, column string) table {
		t := table{Title: title, Column: column}
		for _, e := range all {
			if e.kind == k {
				if _, e.param, _ = strings.Cut(e.param, " "); k == port { // the title has the flag
					e.param = e.value
				}
				t.Rows = append(t.Rows, e)
			}
		}
		return t
	}
	tables := []table{
		of(port, "Ports (`-p`)", "Parameter"),
		of(environment, "Environment Variables (`-e`)", "Env"),
		of(volume, "Volume Mappings (`-v`)", "Volume"),
		of(device, "Device Mappings (`--device`)", "Parameter"),
	}
	tables = slices.DeleteFunc(tables, func(t table) bool { return len(t.Rows) == 0 })
	others := table{Title: "Miscellaneous Options", Column: "Parameter"}
	for _, e := range all {
		if e.kind != port && e.kind != environment && e.kind != volume && e.kind != device {
			others.Rows = append(others.Rows, e)
		}
	}
	return append(tables, others)
}

var (
	callOut  = regexp.MustCompile(`^> ?\[!(\w+)\]$`)
	summary  = regexp.MustCompile(`^<summary>(.*)</summary>$`)
	listItem = regexp.MustCompile(`^(?:[*+-]|\d+\.) `)
)

// admonitions are the site's names for GitHub's call-outs.
var admonitions = map[string]string{
	"NOTE": "info", "TIP": "tip", "IMPORTANT": `info "Important"`, "WARNING": "warning", "CAUTION": "danger",
}

// material rewrites what GitHub's Markdown and that of the site spell
// differently, in the texts of the variables too: call-outs, folds, links to
// headings, and lists, which need an empty line before them.
func material(page []byte) []byte {
	var out []string
	lines := strings.Split(strings.TrimSuffix(string(page), "\n"), "\n")
	anchors := map[string]string{}
	eachLine(lines, func(line string, inCode bool) {
		if text, ok := heading(line); ok && !inCode {
			anchors[anchorGitHub(text)] = anchorMkDocs(text)
		}
	})
	link := regexp.MustCompile(`\]\(#([^)\s]+)\)`)
	pad, callOutOpen, last := "", false, ""
	put := func(line string) {
		if line != "" {
			line = pad + line
		}
		out = append(out, line)
	}
	eachLine(lines, func(line string, inCode bool) {
		if inCode {
			put(line)
			last = line
			return
		}
		line = link.ReplaceAllStringFunc(line, func(m string) string {
			anchor := link.FindStringSubmatch(m)[1]
			if to, known := anchors[anchor]; known {
				anchor = to
			}
			return "](#" + anchor + ")"
		})
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

// eachLine calls do for every line and reports whether it is part of a code
// block, fences included.
func eachLine(lines []string, do func(line string, inCode bool)) {
	fence := ""
	for _, line := range lines {
		marker := strings.TrimLeft(line, " ")
		switch {
		case fence != "":
			do(line, true)
			if strings.HasPrefix(marker, fence) && strings.Trim(marker, fence[:1]) == "" {
				fence = ""
			}
		case strings.HasPrefix(marker, "```"), strings.HasPrefix(marker, "~~~"):
			fence = marker[:len(marker)-len(strings.TrimLeft(marker, marker[:1]))]
			do(line, true)
		default:
			do(line, false)
		}
	}
}

var (
	linked  = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	notSlug = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	gaps    = regexp.MustCompile(`[-\s]+`)
)

// heading returns the text of a heading, links in it resolved.
func heading(line string) (text string, ok bool) {
	text = strings.TrimLeft(line, "#")
	if text == line || !strings.HasPrefix(text, " ") {
		return "", false
	}
	return linked.ReplaceAllString(strings.TrimSpace(text), "$1"), true
}

// anchorGitHub is what GitHub makes of a heading.
func anchorGitHub(text string) string {
	return strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(text), ""), " ", "-")
}

// anchorMkDocs is what MkDocs makes of it.
func anchorMkDocs(text string) string {
	return gaps.ReplaceAllString(strings.TrimSpace(notSlug.ReplaceAllString(strings.ToLower(text), "")), "-")
}
