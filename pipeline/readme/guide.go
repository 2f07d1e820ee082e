package readme

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// Guide is a page of this repository about the application's setup. README.md links
// to it, and the documentation site's page includes it.
type Guide struct {
	Path     string    // relative to the repository
	Title    string    // its heading
	Sections []Section // its second-level headings
	text     string
}

// Section is a section of a Guide.
type Section struct{ Title, Link string }

// newGuide parses the text of a page, which must start with its title.
func newGuide(file, text string) (Guide, error) {
	g := Guide{Path: file, text: text}
	first, _, _ := strings.Cut(text, "\n")
	title, ok := strings.CutPrefix(first, "# ")
	if !ok {
		return g, fmt.Errorf("%s:1: want a title, \"# …\", got %q", file, first)
	}
	g.Title = strings.TrimSpace(title)
	for line, inCode := range eachLine(text) {
		if title, ok := strings.CutPrefix(line, "## "); ok && !inCode {
			title = linked.ReplaceAllString(strings.TrimSpace(title), "$1")
			g.Sections = append(g.Sections, Section{Title: title, Link: file + "#" + anchorGitHub(title)})
		}
	}
	return g, nil
}

// Site returns the text for inclusion below a second-level heading.
func (g Guide) Site() string {
	var out []string
	for line, inCode := range eachLine(g.text) {
		switch {
		case inCode:
		case strings.HasPrefix(line, "#"):
			line = "##" + line
		default:
			line = relink(line, func(file, anchor string) string { return path.Join(path.Dir(g.Path), file) + anchor })
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

// pageLink matches the target of a link to another file of the repository.
var pageLink = regexp.MustCompile(`\]\(([A-Za-z0-9._/-]+)(#[^)\s]*)?\)`)

// relink replaces the targets of a line's links to files of the repository.
func relink(line string, to func(file, anchor string) string) string {
	return pageLink.ReplaceAllStringFunc(line, func(link string) string {
		part := pageLink.FindStringSubmatch(link)
		return "](" + to(part[1], part[2]) + ")"
	})
}

// siteLinks returns a function that converts links for the documentation site's
// page: links to README.md and to guides point to sections of the page, links to
// other files to the repository on GitHub.
func (v *Vars) siteLinks(guides []Guide) func(file, anchor string) string {
	titles := map[string]string{}
	for _, g := range guides {
		titles[g.Path] = "#" + anchorGitHub(g.Title)
	}
	return func(file, anchor string) string {
		title, guide := titles[file]
		switch {
		case guide && anchor == "":
			return title
		case guide, file == Page && anchor != "":
			return anchor
		}
		return v.RepoURL + "/blob/master/" + file + anchor
	}
}
