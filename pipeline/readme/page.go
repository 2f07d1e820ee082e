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

// Picture is the picture of the init graph that README.md shows to readers of
// light or of dark pages, by its look's name.
func Picture(look string) string { return ".github/init-graph-" + look + ".svg" }

// Extra is what the pages say that is not in the variables.
type Extra struct {
	Maintainers string  // Markdown for those who work on the repository; only README.md has it, under a heading
	Guides      []Guide // pages that belong to the application's setup, in the order of app_setup_pages
	Pictures    bool    // README.md shows the init graph by the files that Picture names
}

//go:embed *.md.tmpl
var templates embed.FS

// Load reads the facts about the image from the repository at dir, and the
// Markdown files that belong to its pages. Mistakes are failure.Usage errors
// with file and line.
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

// content is what the template receives besides the variables.
type content struct {
	*Vars
	Extra
	Site        bool   // it is the page for the documentation site
	FrontMatter string // of that page
	Tables      []table
}

// table is a table of parameters.
type table struct {
	Title  string // empty where there is but one
	Column string // the name of its first column
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

// Diff is a unified diff that takes the old text of a file to the new one,
// empty when they are the same.
func Diff(name string, old, new []byte) string {
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: lines(old), B: lines(new), FromFile: name, ToFile: name + " (rendered)", Context: 3,
	})
	if err != nil {
		panic(err) // writing to a string cannot fail
	}
	return text
}

// lines splits text behind each newline; a last line without one gets it, as
// every other program that shows a diff does.
func lines(text []byte) []string {
	split := slices.Collect(strings.Lines(string(text)))
	if last := len(split) - 1; last >= 0 && !strings.HasSuffix(split[last], "\n") {
		split[last] += "\n\\ No newline at end of file\n"
	}
	return split
}

// tidy leaves one empty line where there are more, none at either end, and no
// space at a line's end but the two that mean a break. Code blocks stay as they
// are.
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

// cell makes text fit for a cell of a table.
func cell(text string) string {
	text = strings.ReplaceAll(strings.TrimSpace(text), "|", `\|`)
	return strings.ReplaceAll(text, "\n", "<br>")
}

// siteCell is cell for MkDocs, which shows the backslash before a | in a code
// span, where a | separates no cells.
func siteCell(text string) string {
	return codeSpan.ReplaceAllStringFunc(cell(text), func(span string) string { return strings.ReplaceAll(span, `\|`, "|") })
}

// code puts text into a code span, whatever backquotes it holds.
func code(text string) string {
	fence, pad := "`", ""
	for strings.Contains(text, fence) {
		fence, pad = fence+"`", " "
	}
	return fence + pad + text + pad + fence
}

// How many letters without a place to break a narrow screen has room for in a
// table: in the column of names, and beside it.
const (
	widestName = 20
	widestDesc = 14
)

var (
	codeSpan = regexp.MustCompile("`[^`]+`")
	syllable = regexp.MustCompile(`[^_./]*[_./]*`)
)

// breakable lets long names in the code spans of a table break behind one of
// their joints, so that the table fits a phone. What readers copy stays the
// same.
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

// note is a call-out in GitHub's flavour; kind is NOTE, TIP, IMPORTANT,
// WARNING or CAUTION.
func note(kind, text string) string {
	return "> [!" + kind + "]\n> " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n> ")
}

func indent(n int, text string) string {
	return strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", n))
}
