package initgraph

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Look is a set of colours for a drawing.
type Look struct {
	Name                           string
	text, muted, line              string
	box, frame                     string // of a service
	ownBox, ownFrame, ownText      string // of a service of the image itself
	undeclared, vanished, repeated string // of a difference
	failedBox                      string // of a service that did not come up
}

// The looks, by the page they are shown on. The ground of a drawing is that of
// the page.
var (
	Light = Look{
		Name: "light", text: "#1f2328", muted: "#59636e", line: "#8c959f", box: "#f6f8fa", frame: "#afb8c1",
		ownBox: "#ddf4ff", ownFrame: "#0969da", ownText: "#0550ae", undeclared: "#1a7f37", vanished: "#cf222e", repeated: "#9a6700", failedBox: "#ffebe9",
	}
	Dark = Look{
		Name: "dark", text: "#f0f6fc", muted: "#9198a1", line: "#7d8590", box: "#21262d", frame: "#656c76",
		ownBox: "#12315e", ownFrame: "#4493f8", ownText: "#a5d6ff", undeclared: "#3fb950", vanished: "#f85149", repeated: "#d29922", failedBox: "#5a1e22",
	}
)

// Looks are all of them.
func Looks() []Look { return []Look{Light, Dark} }

// milestones are nodes that are no services, but points that the base image
// and s6-overlay pass.
var milestones = []string{"docker-mods", "base", "custom services", "legacy-services"}

// Drawing is d2 text of a picture that people take in at a glance, unlike D2,
// which is the whole graph for reading: it leaves out edges that follow from
// others, colours the image's own services, by the image's name in theirs, and
// the differences to the declared graph, what the image lacks included, and the
// services that failed.
func (g *Graph) Drawing(look Look, drifts []Drift, failed ...string) string {
	causes := map[Edge]Cause{}
	edges, nodes := g.edgesAndNodes()
	for _, d := range drifts {
		if _, twice := causes[d.Edge]; twice {
			continue
		}
		causes[d.Edge] = d.Cause
		for _, name := range []string{d.Edge.From, d.Edge.To} {
			if name != "" && !slices.Contains(nodes, name) {
				nodes = append(nodes, name)
				causes[Edge{From: name}] = d.Cause
			}
		}
		if d.Cause == Vanished && d.Edge.To != "" {
			edges = append(edges, d.Edge)
		}
	}
	// A service is as new as all of its edges are.
	for _, name := range nodes {
		its := func(e Edge) bool { return e.From == name || e.To == name }
		old := func(e Edge) bool { return its(e) && causes[e] != Undeclared }
		if _, known := causes[Edge{From: name}]; !known && slices.ContainsFunc(edges, its) && !slices.ContainsFunc(edges, old) {
			causes[Edge{From: name}] = Undeclared
		}
	}

	var d2 strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&d2, format+"\n", args...) }
	line("style.fill: transparent")
	line("classes: {")
	line("  service: { height: 36; style: { fill: %q; stroke: %q; font-color: %q; border-radius: 6; stroke-width: 1 } }", look.box, look.frame, look.text)
	line("  own: { style: { fill: %q; stroke: %q; font-color: %q; stroke-width: 2 } }", look.ownBox, look.ownFrame, look.ownText)
	line(`  milestone: { height: 36; style: { fill: "transparent"; stroke: %q; font-color: %q; border-radius: 6; stroke-width: 1; stroke-dash: 3 } }`, look.frame, look.muted)
	line("  after: { style: { stroke: %q; stroke-width: 2 } }", look.line)
	line("  undeclared: { style: { stroke: %q; font-color: %[1]q; stroke-width: 3 } }", look.undeclared)
	line("  vanished: { style: { stroke: %q; font-color: %[1]q; stroke-width: 3; stroke-dash: 3 } }", look.vanished)
	line("  repeated: { style: { stroke: %q; font-color: %[1]q; stroke-width: 3 } }", look.repeated)
	if len(failed) > 0 {
		line("  failed: { style: { fill: %q; stroke: %q; font-color: %[2]q; stroke-width: 4 } }", look.failedBox, look.vanished)
	}
	line(`  key: { style: { fill: "transparent"; stroke: "transparent" } }`)
	line("}")

	own, _, _ := strings.Cut(g.Title, ":")
	inside := map[string][]string{}
	for _, n := range g.Nodes {
		inside[n.Name] = n.Inside
	}
	for _, name := range nodes {
		label, classes := name, "service"
		if len(inside[name]) > 0 {
			label = name + ": " + strings.ReplaceAll(strings.Join(inside[name], ", "), `\n`, " ")
		}
		switch {
		case slices.Contains(milestones, name):
			classes = "milestone"
		case own != "" && strings.Contains(name, own):
			classes += "; own"
		}
		if cause, drifted := causes[Edge{From: name}]; drifted {
			classes += "; " + string(cause)
		}
		if slices.Contains(failed, name) {
			label, classes = label+" (failed)", classes+"; failed"
		}
		line("%s: %s { class: [%s] }", forceQuote(name), forceQuote(label), classes)
	}
	// What the image itself starts is put in the middle when the way around it,
	// by what people may add, comes last.
	slices.SortStableFunc(edges, func(a, b Edge) int { return cmp.Compare(around(a), around(b)) })
	follows := follow(g.Edges)
	for _, e := range edges {
		cause, drifted := causes[e]
		switch {
		case drifted:
			said := map[Cause]string{Undeclared: "undocumented", Vanished: "not in the image", Repeated: "documented twice"}[cause]
			line("%s -> %s: %s { class: %s }", forceQuote(e.From), forceQuote(e.To), said, cause)
		case !follows(e):
			line("%s -> %s: { class: after }", forceQuote(e.From), forceQuote(e.To))
		}
	}
	mine := ""
	if own != "" {
		mine = "\n  own: " + forceQuote("of "+own) + " { class: [service; own] }"
	}
	line(`"the key": "" {
  near: bottom-center
  class: key
  grid-rows: 1
  grid-gap: 12%s
  base: "of the base" { class: service }
  milestone: "milestone" { class: milestone }
}`, mine)
	return d2.String()
}

// around is 1 for the edges of what people may add to an image, else 0.
func around(e Edge) int {
	if e.From == "custom services" || e.To == "custom services" {
		return 1
	}
	return 0
}

// edgesAndNodes lists each edge and each node once, in the order in which they
// are named.
func (g *Graph) edgesAndNodes() (edges []Edge, nodes []string) {
	seen := map[Edge]bool{}
	node := func(name string) {
		if !seen[Edge{From: name}] {
			seen[Edge{From: name}] = true
			nodes = append(nodes, name)
		}
	}
	for _, e := range g.Edges {
		e.Line = 0
		node(e.From)
		node(e.To)
		if !seen[e] {
			seen[e] = true
			edges = append(edges, e)
		}
	}
	for _, n := range g.Nodes {
		node(n.Name)
	}
	return edges, nodes
}

// follow returns a function that reports whether an edge follows from other ones:
// there is another way from its start to its end.
func follow(edges []Edge) func(Edge) bool {
	next := map[string][]string{}
	for _, e := range edges {
		next[e.From] = append(next[e.From], e.To)
	}
	return func(e Edge) bool {
		seen := map[string]bool{e.From: true}
		var open []string
		for _, to := range next[e.From] {
			if to != e.To {
				open = append(open, to)
			}
		}
		for len(open) > 0 {
			name := open[len(open)-1]
			open = open[:len(open)-1]
			if name == e.To {
				return true
			}
			if !seen[name] {
				seen[name] = true
				open = append(open, next[name]...)
			}
		}
		return false
	}
}
