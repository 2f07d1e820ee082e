package initgraph

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Theme is the colour scheme of a drawing.
type Theme struct {
	Name                           string
	text, muted, line              string
	box, frame                     string // of a service
	ownBox, ownFrame, ownText      string // of a service of the image itself
	undeclared, vanished, repeated string // of a difference
	failedBox                      string // of a service that failed
}

// The themes, for light and dark pages. The background is transparent.
var (
	Light = Theme{
		Name: "light", text: "#1f2328", muted: "#59636e", line: "#8c959f", box: "#f6f8fa", frame: "#afb8c1",
		ownBox: "#ddf4ff", ownFrame: "#0969da", ownText: "#0550ae", undeclared: "#1a7f37", vanished: "#cf222e", repeated: "#9a6700", failedBox: "#ffebe9",
	}
	Dark = Theme{
		Name: "dark", text: "#f0f6fc", muted: "#9198a1", line: "#7d8590", box: "#21262d", frame: "#656c76",
		ownBox: "#12315e", ownFrame: "#4493f8", ownText: "#a5d6ff", undeclared: "#3fb950", vanished: "#f85149", repeated: "#d29922", failedBox: "#5a1e22",
	}
)

// Themes returns all themes.
func Themes() []Theme { return []Theme{Light, Dark} }

// milestones lists the nodes that are not services, but phases of the base image
// and s6-overlay.
var milestones = []string{"docker-mods", "base", "custom services", "legacy-services"}

// Drawing returns d2 text for a simplified picture, unlike D2, which returns the
// whole graph. It omits edges that follow from others. It colours the image's own
// services, whose names contain the image's name; the differences from the declared
// graph, including what the image lacks; and the failed services.
func (g *Graph) Drawing(theme Theme, drifts []Drift, failed ...string) string {
	causes := map[Edge]Cause{}
	parts := g.parts()
	for _, d := range drifts {
		if causes[d.Edge] != "" {
			continue
		}
		causes[d.Edge] = d.Cause
		for _, part := range []Edge{{From: d.Edge.From}, {From: d.Edge.To}, d.Edge} {
			if part.From != "" && !slices.Contains(parts, part) {
				parts = append(parts, part)
				causes[part] = d.Cause
			}
		}
	}
	// A service is undeclared if all of its edges are.
	for _, node := range parts {
		its := func(e Edge) bool { return e.To != "" && (e.From == node.From || e.To == node.From) }
		old := func(e Edge) bool { return its(e) && causes[e] != Undeclared }
		if node.To == "" && causes[node] == "" && slices.ContainsFunc(parts, its) && !slices.ContainsFunc(parts, old) {
			causes[node] = Undeclared
		}
	}
	slices.SortStableFunc(parts, func(a, b Edge) int { return cmp.Compare(a.rank(), b.rank()) })

	var d2 strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&d2, format+"\n", args...) }
	line("style.fill: transparent")
	line("classes: {")
	line("  service: { height: 36; style: { fill: %q; stroke: %q; font-color: %q; border-radius: 6; stroke-width: 1 } }", theme.box, theme.frame, theme.text)
	line("  own: { style: { fill: %q; stroke: %q; font-color: %q; stroke-width: 2 } }", theme.ownBox, theme.ownFrame, theme.ownText)
	line(`  milestone: { height: 36; style: { fill: "transparent"; stroke: %q; font-color: %q; border-radius: 6; stroke-width: 1; stroke-dash: 3 } }`, theme.frame, theme.muted)
	line("  after: { style: { stroke: %q; stroke-width: 2 } }", theme.line)
	line("  undeclared: { style: { stroke: %q; font-color: %[1]q; stroke-width: 3 } }", theme.undeclared)
	line("  vanished: { style: { stroke: %q; font-color: %[1]q; stroke-width: 3; stroke-dash: 3 } }", theme.vanished)
	line("  repeated: { style: { stroke: %q; font-color: %[1]q; stroke-width: 3 } }", theme.repeated)
	if len(failed) > 0 {
		line("  failed: { style: { fill: %q; stroke: %q; font-color: %[2]q; stroke-width: 4 } }", theme.failedBox, theme.vanished)
	}
	line(`  key: { style: { fill: "transparent"; stroke: "transparent" } }`)
	line("}")

	own, _, _ := strings.Cut(g.Title, ":")
	inside := map[string][]string{}
	for _, n := range g.Nodes {
		inside[n.Name] = n.Inside
	}
	for _, part := range parts {
		name, cause := part.From, causes[part]
		if part.To != "" {
			if cause != "" {
				said := map[Cause]string{Undeclared: "undocumented", Vanished: "not in the image", Repeated: "documented twice"}[cause]
				line("%s -> %s: %s { class: %s }", forceQuote(name), forceQuote(part.To), said, cause)
			} else if !g.isRedundant(part) {
				line("%s -> %s: { class: after }", forceQuote(name), forceQuote(part.To))
			}
			continue
		}
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
		if cause != "" {
			classes += "; " + string(cause)
		}
		if slices.Contains(failed, name) {
			label, classes = label+" (failed)", classes+"; failed"
		}
		line("%s: %s { class: [%s] }", forceQuote(name), forceQuote(label), classes)
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

// rank sorts nodes before edges, and the edges of custom services last. This way
// the layout puts the image's own services in the middle.
func (e Edge) rank() int {
	switch {
	case e.To == "":
		return 0
	case e.From == "custom services" || e.To == "custom services":
		return 2
	}
	return 1
}

// isRedundant reports whether an edge is redundant: whether another path leads from its
// start to its end.
func (g *Graph) isRedundant(edge Edge) bool {
	reached := map[string]bool{}
	var walk func(from string)
	walk = func(from string) {
		for _, e := range g.Edges {
			if e.From == from && !reached[e.To] && (e.From != edge.From || e.To != edge.To) {
				reached[e.To] = true
				walk(e.To)
			}
		}
	}
	walk(edge.From)
	return reached[edge.To]
}
