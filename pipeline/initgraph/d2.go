package initgraph

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

const baseImages = "Base Images"

// D2 renders the graph as it stands in the documentation, with a newline at
// the end of each line.
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

// forceQuote puts a name in quotes: an image reference holds a colon, which
// means something in d2.
func forceQuote(name string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}

// quote leaves a plain name as it is. A backslash is part of one: \n in the
// base box is d2's own.
func quote(name string) string {
	if name == "" || strings.ContainsAny(name, "\"':;{}[]|#<>*&$`\n\r") || strings.Contains(name, "--") || strings.TrimSpace(name) != name {
		return forceQuote(name)
	}
	return name
}

// ParseD2 reads the part of d2 that init diagrams are written in: names, bare
// or in double quotes, boxes, edges (-> and <-, also several in a row),
// comments. An error names the line.
func ParseD2(text string) (*Graph, error) {
	g := &Graph{}
	var boxes []string // the open ones
	opened := 0        // line of the innermost
	for number, line := range strings.Split(text, "\n") {
		number++
		fail := func(format string, args ...any) error {
			return fmt.Errorf("reading init_diagram line %d: "+format, append([]any{number}, args...)...)
		}
		words, open, err := splitD2(line)
		switch {
		case err != nil:
			return nil, fail("%w", err)
		case len(words) == 0 && !open:
			continue
		case len(words) == 1 && words[0] == (d2Word{text: "}"}) && !open:
			if len(boxes) == 0 {
				return nil, fail("} closes nothing")
			}
			boxes = boxes[:len(boxes)-1]
			continue
		}
		names, edges, err := readPath(words, number)
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
		case depth == 0: // "TITLE" <- Base Images: says nothing new
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

// d2Word is a name, an arrow or a brace.
type d2Word struct {
	text   string
	quoted bool
}

var (
	d2Sign   = regexp.MustCompile(`->|<-|["{}:;|\[\]]`)
	d2Quoted = regexp.MustCompile(`^"((?:[^"\\]|\\.)*)"`)
	unescape = strings.NewReplacer(`\\`, `\`, `\"`, `"`)
)

// splitD2 takes a line apart; open reports that it ends by opening a box.
func splitD2(line string) (words []d2Word, open bool, err error) {
	for rest := strings.TrimSpace(line); rest != "" && rest[0] != '#'; rest = strings.TrimSpace(rest) {
		if open {
			return nil, false, fmt.Errorf("%q behind a {: it belongs on a line of its own", rest)
		}
		at := d2Sign.FindStringIndex(rest)
		if at == nil {
			at = []int{len(rest), len(rest)}
		}
		sign, behind := rest[at[0]:at[1]], rest[at[1]:]
		if bare := strings.TrimSpace(rest[:at[0]]); bare != "" {
			if sign == `"` {
				return nil, false, fmt.Errorf("a quote in the middle of the name %q", bare)
			}
			words, rest = append(words, d2Word{text: bare}), rest[at[0]:]
		}
		switch sign {
		case "":
		case "->", "<-", "}":
			words = append(words, d2Word{text: sign})
		case "{":
			open = true
		case ":":
			if !strings.HasPrefix(strings.TrimSpace(behind), "{") {
				return nil, false, fmt.Errorf("labels are not read: only { may follow a colon")
			}
		case `"`:
			name := d2Quoted.FindStringSubmatch(rest)
			if name == nil {
				return nil, false, fmt.Errorf("a quote is never closed: %s", rest)
			}
			words = append(words, d2Word{text: unescape.Replace(name[1]), quoted: true})
			behind = rest[len(name[0]):]
		default:
			return nil, false, fmt.Errorf("%q is not part of the d2 that init diagrams are written in", sign)
		}
		rest = behind
	}
	return words, open, nil
}

// readPath reads NAME [ARROW NAME]...
func readPath(words []d2Word, line int) (names []string, edges []Edge, err error) {
	for i, w := range words {
		arrow := !w.quoted && (w.text == "->" || w.text == "<-")
		if arrow != (i%2 == 1) || !w.quoted && w.text == "}" {
			return nil, nil, fmt.Errorf("%q is out of place: a line is a name, NAME -> NAME, or NAME {", w.text)
		}
		if arrow {
			continue
		}
		if names = append(names, w.text); i > 0 {
			e := Edge{From: names[len(names)-2], To: w.text, Line: line}
			if words[i-1].text == "<-" {
				e.From, e.To = e.To, e.From
			}
			edges = append(edges, e)
		}
	}
	if len(words)%2 == 0 {
		return nil, nil, fmt.Errorf("a name is missing")
	}
	return names, edges, nil
}
