package initgraph

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

const baseImages = "Base Images"

// D2 returns the graph as d2 text, as in the documentation, with a newline at the
// end of each line.
func (g *Graph) D2() string {
	statements := map[int]string{} // by line
	for _, n := range g.Nodes {
		box := ""
		for _, name := range n.Inside {
			box += "    " + quote(name) + "\n"
		}
		if box != "" {
			box = " {\n" + box + "  }"
		}
		statements[n.Line] += "  " + quote(n.Name) + box + "\n"
	}
	for _, e := range g.Edges {
		statements[e.Line] += "  " + quote(e.From) + " -> " + quote(e.To) + "\n"
	}
	var d2 strings.Builder
	title := forceQuote(g.Title)
	fmt.Fprintf(&d2, "%s: {\n", title)
	for _, line := range slices.Sorted(maps.Keys(statements)) {
		d2.WriteString(statements[line])
	}
	d2.WriteString("}\n")
	if len(g.Bases) > 0 {
		var bases []string
		for _, b := range g.Bases {
			bases = append(bases, forceQuote(b))
		}
		fmt.Fprintf(&d2, "%s: {\n  %s\n}\n%s <- %s\n", baseImages, strings.Join(bases, " <- "), title, baseImages)
	}
	return d2.String()
}

// forceQuote quotes a name, for example an image reference: its colon has a meaning
// in d2.
func forceQuote(name string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}

// quote quotes a name if necessary. It keeps backslashes: \n in the base box is
// d2's line break.
func quote(name string) string {
	if name == "" || strings.ContainsAny(name, "\"':;{}[]|#<>*&$`\n\r") || strings.Contains(name, "--") || strings.TrimSpace(name) != name {
		return forceQuote(name)
	}
	return name
}

// ParseD2 parses the subset of d2 that init diagrams use: names, bare or in double
// quotes, boxes, edges (-> and <-, also chained) and comments. Errors name the
// line.
func ParseD2(text string) (*Graph, error) {
	g := &Graph{}
	var boxes []string // names of the open boxes
	opened := 0        // line of the innermost open box
	for number, line := range strings.Split(text, "\n") {
		number++
		fail := func(format string, args ...any) error {
			return fmt.Errorf("reading init_diagram line %d: "+format, append([]any{number}, args...)...)
		}
		var quoted []string
		line = d2Atom.ReplaceAllStringFunc(line, func(atom string) string {
			name, ok := strings.CutPrefix(atom, `"`)
			if !ok { // a comment
				return ""
			}
			quoted = append(quoted, unescape.Replace(name[:len(name)-1]))
			return quotedMark
		})
		switch line = strings.TrimSpace(line); {
		case line == "":
			continue
		case line == "}" && len(boxes) == 0:
			return nil, fail("} closes nothing")
		case line == "}":
			boxes = boxes[:len(boxes)-1]
			continue
		}
		names, edges, open, err := readD2(line, quoted, number)
		if err != nil {
			return nil, fail("%w", err)
		}
		if open && len(names) != 1 {
			return nil, fail("a box needs one name before its {")
		}
		switch depth := len(boxes); {
		case depth == 0 && open && names[0] == baseImages:
		case depth == 0 && open && g.Title == "":
			g.Title = names[0]
		case depth == 0 && open:
			return nil, fail("a second diagram %q: only one box besides %q belongs here", names[0], baseImages)
		case depth == 0: // "TITLE" <- Base Images: adds nothing
			for _, name := range names {
				if name != g.Title && name != baseImages {
					return nil, fail("%q stands outside the diagram", name)
				}
			}
		case boxes[0] == baseImages:
			if open {
				return nil, fail("a box inside %q", baseImages)
			}
			g.Bases = append(g.Bases, names...)
		case depth == 1 && len(names) == 1:
			g.Nodes = append(g.Nodes, Node{Name: names[0], Line: number})
		case depth == 1:
			g.Edges = append(g.Edges, edges...)
		case depth == 2 && !open && len(names) == 1:
			n := &g.Nodes[len(g.Nodes)-1]
			n.Inside = append(n.Inside, names[0])
		default:
			return nil, fail("only plain names can stand in box %q", boxes[len(boxes)-1])
		}
		if open {
			boxes, opened = append(boxes, names[0]), number
		}
	}
	if len(boxes) > 0 {
		return nil, fmt.Errorf("reading init_diagram line %d: the { of %q is never closed", opened, boxes[len(boxes)-1])
	}
	if g.Title == "" {
		return nil, fmt.Errorf("reading init_diagram: no box with the diagram in it: it begins with a line like \"netbox:latest\": {")
	}
	return g, nil
}

// quotedMark replaces a quoted name while a line is parsed.
const quotedMark = `"…"`

var (
	d2Atom   = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|#.*`) // quoted names and comments
	d2Arrow  = regexp.MustCompile(`->|<-`)
	unescape = strings.NewReplacer(`\\`, `\`, `\"`, `"`)
)

// readD2 parses NAME [ARROW NAME]... or, with open, NAME {.
func readD2(line string, quoted []string, number int) (names []string, edges []Edge, open bool, err error) {
	line, behind, open := strings.Cut(line, "{")
	if open {
		line = strings.TrimSuffix(strings.TrimSpace(line), ":")
	}
	if behind != "" {
		return nil, nil, false, fmt.Errorf("%q behind a {: it belongs on a line of its own", strings.TrimSpace(behind))
	}
	arrows := d2Arrow.FindAllString(line, -1)
	for i, name := range d2Arrow.Split(line, -1) {
		name = strings.TrimSpace(name)
		sign := strings.IndexAny(name, `":}{;|[]`)
		switch {
		case name == quotedMark:
			name, quoted = quoted[0], quoted[1:]
		case name == "" && i == len(arrows):
			err = fmt.Errorf("a name is missing")
		case name == "":
			err = fmt.Errorf("%q is out of place: a line is a name, NAME -> NAME, or NAME {", arrows[i])
		case sign < 0:
		case name[sign] == ':':
			err = fmt.Errorf("labels are not read: only { may follow a colon")
		case name[sign] == '"' && sign == 0 && !strings.HasPrefix(name, quotedMark):
			err = fmt.Errorf("a quote is never closed: %s", name)
		case name[sign] == '"':
			err = fmt.Errorf("a quote in the middle of the name %q", name)
		default:
			err = fmt.Errorf("%q is not part of the d2 that init diagrams are written in", name[sign:sign+1])
		}
		if err != nil {
			return nil, nil, false, err
		}
		if names = append(names, name); i > 0 {
			e := Edge{From: names[i-1], To: name, Line: number}
			if arrows[i-1] == "<-" {
				e.From, e.To = e.To, e.From
			}
			edges = append(edges, e)
		}
	}
	return names, edges, open, nil
}
