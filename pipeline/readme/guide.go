package readme

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// Guide is a page of this repository that belongs to the application's setup:
// README.md links to it, the documentation site's page contains it.
type Guide struct {
	Path     string    // in the repository
	Title    string    // its heading
	Sections []Section // the headings below
	text     string
}

// Section is a section of a Guide.
type Section struct{ Title, Link string }

// newGuide reads the text of a page, which begins with its title.
func newGuide(file, text string) (Guide, error) {
	g := Guide{Path: file, text: text}
	first, _, _ := strings.Cut(text, "\n")
	title, ok := strings.CutPrefix(first, "# ")
	if !ok {
		return g, fmt.Errorf("%s:1: want a title, \"# …\", got %q", file, first)
	}
	g.Title = strings.TrimSpace(title)
	eachLine(strings.Split(text, "\n"), func(line string, inCode bool) {
		if title, ok := strings.CutPrefix(line, "## "); ok && !inCode {
			title, _ = heading("# " + title)
			g.Sections = append(g.Sections, Section{Title: title, Link: file + "#" + anchorGitHub(title)})
		}
	})
	return g, nil
}

// Site is the text as part of a page, below a heading of the second level.
func (g Guide) Site() string {
	var out []string
	eachLine(strings.Split(g.text, "\n"), func(line string, inCode bool) {
		switch {
		case inCode:
		case strings.HasPrefix(line, "#"):
			line = "##" + line
		default:
			line = pageLink.ReplaceAllStringFunc(line, func(m string) string {
				part := pageLink.FindStringSubmatch(m)
				return "](" + path.Join(path.Dir(g.Path), part[1]) + part[2] + ")"
			})
		}
		out = append(out, line)
	})
	return strings.Join(out, "\n")
}

// pageLink is the end of a link to another file of the repository.
var pageLink = regexp.MustCompile(`\]\(([A-Za-z0-9._/-]+)(#[^)\s]*)?\)`)

// onOnePage points links to README.md and to the guides at their sections of
// the same page, and links to all other files at the repository.
func (v *Vars) onOnePage(page []byte, guides []Guide) []byte {
	titles := map[string]string{}
	for _, g := range guides {
		titles[g.Path] = "#" + anchorGitHub(g.Title)
	}
	var out []string
	eachLine(strings.Split(string(page), "\n"), func(line string, inCode bool) {
		if !inCode {
			line = pageLink.ReplaceAllStringFunc(line, func(m string) string {
				part := pageLink.FindStringSubmatch(m)
				file, anchor := part[1], part[2]
				title, guide := titles[file]
				switch {
				case guide && anchor == "":
					return "](" + title + ")"
				case guide, file == Page && anchor != "":
					return "](" + anchor + ")"
				}
				return "](" + v.RepoURL + "/blob/master/" + file + anchor + ")"
			})
		}
		out = append(out, line)
	})
	return []byte(strings.Join(out, "\n"))
}
