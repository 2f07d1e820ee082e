package initgraph

import (
	"cmp"
	"slices"
	"strings"
)

// Update returns the d2 text of a declared diagram changed so that it declares
// g. Lines that are right stay as they are and where they are, comments too. A
// text that takes more than adding and removing lines of one edge each becomes
// what D2 draws.
func (g *Graph) Update(text string) string {
	declared, err := ParseD2(text)
	if err != nil {
		return g.D2()
	}
	lines := strings.Split(text, "\n")
	at := map[Edge]int{} // the line of an edge that stays, from 1
	for _, e := range declared.Edges {
		if key := (Edge{From: e.From, To: e.To}); at[key] == 0 {
			at[key] = e.Line
		}
	}
	gone := map[int]bool{}
	added := map[int][]string{} // behind which line
	for _, d := range Compare(declared, g) {
		if d.Edge.To == "" {
			return g.D2()
		}
		if d.Line > 0 {
			gone[d.Line] = true
			continue
		}
		// Where it stands in D2, or as near to that as can be.
		parts, line := g.parts(), 0
		for _, part := range parts[:slices.Index(parts, d.Edge)] {
			line = cmp.Or(at[part], line)
		}
		if line == 0 {
			return g.D2()
		}
		before := lines[line-1]
		indent := before[:len(before)-len(strings.TrimLeft(before, " \t"))]
		added[line] = append(added[line], indent+quote(d.Edge.From)+" -> "+quote(d.Edge.To))
	}
	var out []string
	for i, line := range lines {
		if !gone[i+1] {
			out = append(out, line)
		}
		out = append(out, added[i+1]...)
	}
	updated := strings.Join(out, "\n")
	if again, err := ParseD2(updated); err != nil || len(Compare(again, g)) > 0 {
		return g.D2() // a line that had to go held more than one edge
	}
	return updated
}
