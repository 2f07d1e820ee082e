package initgraph

import (
	"cmp"
	"slices"
	"strings"
)

// Update returns the d2 text of a declared diagram, changed so that it declares g.
// It keeps correct lines and comments in place. If adding and removing lines with
// one edge each is not enough, it returns g.D2().
func (g *Graph) Update(text string) string {
	declared, err := ParseD2(text)
	if err != nil {
		return g.D2()
	}
	lines := strings.Split(text, "\n")
	at := map[Edge]int{} // the line of each declared edge, from 1
	for _, e := range declared.Edges {
		if key := (Edge{From: e.From, To: e.To}); at[key] == 0 {
			at[key] = e.Line
		}
	}
	gone := map[int]bool{}
	added := map[int][]string{} // new lines, by the line to insert them after
	for _, d := range Compare(declared, g) {
		if d.Edge.To == "" {
			return g.D2()
		}
		if d.Line > 0 {
			gone[d.Line] = true
			continue
		}
		// Insert it after the nearest preceding edge of D2 that is declared.
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
		return g.D2() // a removed line had more than one edge
	}
	return updated
}
