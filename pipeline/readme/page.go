package readme

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/pmezard/go-difflib/difflib"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// Names of the files at the root of the repository.
const (
	File        = "readme-vars.yml"
	Page        = "README.md"
	maintainers = ".github/maintainers.md"
)

// Picture returns the path of README.md's picture of the init graph for a theme:
// light or dark.
func Picture(look string) string { return ".github/init-graph-" + look + ".svg" }

// Extra is the content of the pages that is not in the variables.
type Extra struct {
	Maintainers string  // Markdown for maintainers, under a heading; only in README.md
	Guides      []Guide // pages about the application's setup, in the order of app_setup_pages
	Pictures    bool    // README.md shows the init graph as the files that Picture names
}

//go:embed *.md.tmpl
var templates embed.FS

// Load reads readme-vars.yml and the Markdown files of the pages from the
// repository at dir. Mistakes are failure.Usage errors with file and line.
func Load(dir string) (*Vars, Extra, error) {
	var extra Extra
	data, err := os.ReadFile(filepath.Join(dir, File))
	if err != nil {
		return nil, extra, failure.Usagef("read the facts about the image: %w: run it inside the repository, or name that with --repo", err)
	}
	section, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(maintainers)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, extra, failure.Usagef("reading the section for maintainers: %w", err)
	}
	extra.Maintainers = string(section)
	v, err := Parse(File, data)
	if err != nil {
		return nil, extra, err
	}
	for i, file := range v.GuideFiles {
		text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(file)))
		if err == nil {
			var g Guide
			g, err = newGuide(file, string(text))
			extra.Guides = append(extra.Guides, g)
		}
		if err != nil {
			return nil, extra, v.doc.Problem(fmt.Sprintf("app_setup_pages[%d]", i), "%v", err)
		}
	}
	return v, extra, nil
}

// README renders the page for GitHub.
func (v *Vars) README(extra Extra) ([]byte, error) {
	page, err := v.page("readme.md.tmpl", content{Extra: extra, Tables: []table{{Column: "Parameter", Rows: v.rows()}}})
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w", Page, err)
	}
	return []byte(strings.ReplaceAll(page, "](#usage)", "](#start-it)")), nil
}

// content is the data of the templates.
type content struct {
	*Vars
	Extra
	Site        bool   // whether the page is for the documentation site
	FrontMatter string // of the site's page
	Tables      []table
}

// table is a table of parameters.
type table struct {
	Title  string // empty if there is only one
	Column string // name of the first column
	Rows   []entry
}

func (v *Vars) page(name string, c content) (string, error) {
	c.Vars = v
	cell, narrow := cell, func(_ int, text string) string { return text }
	if c.Site {
		cell = siteCell
	}
	if v.Narrow {
		narrow = breakable
	}
	t := template.Must(template.New(name).Funcs(template.FuncMap{
		"cell":    func(s string) string { return cell(narrow(widestDesc, s)) },
		"name":    func(s string) string { return cell(narrow(widestName, code(s))) },
		"indent":  indent,
		"note":    note,
		"picture": Picture,
		"trim":    strings.TrimSpace,
		"escape":  func(s string) string { return strings.NewReplacer("<", `\<`, ">", `\>`).Replace(s) },
		"badge":   func(s string) string { return strings.NewReplacer("-", "--", "_", "__", " ", "%20").Replace(s) },
		"plain":   func(s string) string { return strings.TrimSuffix(s, ":") },
	}).ParseFS(templates, "*.md.tmpl"))
	var out strings.Builder
	if err := t.Execute(&out, c); err != nil {
		return "", err
	}
	return tidy(out.String()), nil
}

// Diff returns a unified diff from the old to the new text of a file, empty if they
// are equal.
func Diff(name string, old, new []byte) string {
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: lines(old), B: lines(new), FromFile: name, ToFile: name + " (rendered)", Context: 3,
	})
	if err != nil {
		panic(err) // writing to a string cannot fail
	}
	return text
}

// lines splits text after each newline. It marks a last line without a newline as
// diff does.
func lines(text []byte) []string {
	split := slices.Collect(strings.Lines(string(text)))
	if last := len(split) - 1; last >= 0 && !strings.HasSuffix(split[last], "\n") {
		split[last] += "\n\\ No newline at end of file\n"
	}
	return split
}

// tidy collapses empty lines, removes them at both ends, and trims trailing space
// except the two that mean a line break. It does not change code blocks.
func tidy(page string) string {
	var out []string
	for line, inCode := range eachLine(page) {
		text := strings.TrimRight(line, " \t")
		switch {
		case inCode:
			text = line
		case text == "" && (len(out) == 0 || out[len(out)-1] == ""):
			continue
		case text != "" && strings.HasSuffix(line, "  "):
			text += "  "
		}
		out = append(out, text)
	}
	return strings.TrimRight(strings.Join(out, "\n"), "\n") + "\n"
}

// cell formats text for a table cell.
func cell(text string) string {
	text = strings.ReplaceAll(strings.TrimSpace(text), "|", `\|`)
	return strings.ReplaceAll(text, "\n", "<br>")
}

// siteCell is cell for MkDocs, where a | in a code span does not separate cells, and
// a backslash before it would be shown.
func siteCell(text string) string {
	return codeSpan.ReplaceAllStringFunc(cell(text), func(span string) string { return strings.ReplaceAll(span, `\|`, "|") })
}

// code formats text as a code span, even if it contains backquotes.
func code(text string) string {
	fence, pad := "`", ""
	for strings.Contains(text, fence) {
		fence, pad = fence+"`", " "
	}
	return fence + pad + text + pad + fence
}

// The longest unbreakable words, in characters, that fit a table on a narrow
// screen: in the column of names and in the other columns.
const (
	widestName = 20
	widestDesc = 14
)

var (
	codeSpan = regexp.MustCompile("`[^`]+`")
	syllable = regexp.MustCompile(`[^_./]*[_./]*`)
)

// breakable inserts optional line breaks after separators in long names in code
// spans, so that a table fits a phone. Copied text stays the same.
func breakable(widest int, text string) string {
	if strings.Contains(text, "``") {
		return text
	}
	long := regexp.MustCompile(fmt.Sprintf("[^ ]{%d,}", widest+1))
	return codeSpan.ReplaceAllStringFunc(text, func(span string) string {
		broken := long.ReplaceAllStringFunc(strings.Trim(span, "`"), func(word string) (broken string) {
			width := 0
			for _, part := range syllable.FindAllString(word, -1) {
				if width > 0 && width+len(part) > widest {
					broken, width = broken+"\x00", 0
				}
				broken, width = broken+part, width+len(part)
			}
			return broken
		})
		if !strings.Contains(broken, "\x00") {
			return span
		}
		name := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "*", `\*`, "[", `\[`, "]", `\]`, "\x00", "<wbr>").Replace(broken)
		return "<code>" + name + "</code>"
	})
}

// note formats a call-out in GitHub's syntax; kind is NOTE, TIP, IMPORTANT, WARNING
// or CAUTION.
func note(kind, text string) string {
	return "> [!" + kind + "]\n> " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n> ")
}

func indent(n int, text string) string {
	return strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", n))
}
