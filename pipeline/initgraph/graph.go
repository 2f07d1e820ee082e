// Package initgraph determines the order in which an image starts its services. It
// reads the s6-rc sources from the image's file system, renders them as the d2
// diagram of the documentation, compares that with the declared diagram, and checks
// the sources and the log of a boot.
//
//	root, err := initgraph.OpenImage(img)
//	found, tree, err := initgraph.FromFS(root)
//	err = initgraph.Check(root)                     // before booting
//	declared, err := initgraph.ParseD2(diagram)
//	drifts := initgraph.Compare(declared, found)
//	boot, err := initgraph.CheckBoot(tree, events)  // afterwards
//
// Checks report all problems at once, as joined errors of one line each.
package initgraph

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
)

// Graph is the init diagram of an image.
type Graph struct {
	Title string   // e.g. netbox:latest
	Bases []string // the base image, the base's base, ...
	Nodes []Node   // nodes on a line of their own
	Edges []Edge
}

// Node is a node on a line of its own.
type Node struct {
	Name   string
	Inside []string // names drawn inside it
	Line   int      // in the d2 text, from 1
}

// Edge means that From is up before To starts.
type Edge struct {
	From, To string
	Line     int // in the d2 text, from 1
}

func (e Edge) String() string { return e.From + " -> " + e.To }

// FromImage reads the graph and the service tree of an image. See FromFS.
func FromImage(img v1.Image) (*Graph, *s6rc.Tree, error) {
	root, err := OpenImage(img)
	if err != nil {
		return nil, nil, err
	}
	return FromFS(root)
}

// FromFS reads the graph and the service tree under a root file system. The graph
// has no Title and no Bases, because a file system does not contain them. For a
// tree that s6-rc-compile would reject, it returns what it could read and an error
// that wraps s6rc.Problems.
func FromFS(root fs.FS) (*Graph, *s6rc.Tree, error) {
	sources, err := fs.Sub(root, strings.TrimPrefix(s6rc.Dir, "/"))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the services under %s: %w", s6rc.Dir, err)
	}
	tree, err := s6rc.Load(sources)
	if err != nil {
		err = fmt.Errorf("reading the services under %s: %w", s6rc.Dir, err)
	}
	return buildGraph(tree), tree, err
}

// buildGraph returns the diagram of a service tree: a fixed preamble for what s6-overlay
// and the base image do themselves, then the dependencies of each service in name
// order. Services without dependencies depend on base; legacy-services depends on
// every svc-*.
func buildGraph(tree *s6rc.Tree) *Graph {
	g := &Graph{
		Nodes: []Node{
			{Name: "docker-mods", Line: 2}, // after the title
			{Name: "base", Inside: []string{`fix-attr +\nlegacy cont-init`}, Line: 3},
			{Name: "legacy-services", Line: 7},
			{Name: "custom services", Line: 8},
		},
		Edges: []Edge{
			{"docker-mods", "base", 6},
			{"init-services", "legacy-services", 9},
			{"init-services", "custom services", 10},
			{"custom services", "legacy-services", 11},
		},
	}
	edge := func(from, to string) {
		g.Edges = append(g.Edges, Edge{from, to, g.Edges[len(g.Edges)-1].Line + 1})
	}
	for _, s := range imageServices(tree) {
		if strings.HasPrefix(s.Name, "user") {
			continue
		}
		if len(s.Requires) == 0 {
			edge("base", s.Name)
		}
		for _, dep := range s.Requires {
			edge(dep, s.Name)
		}
		if strings.HasPrefix(s.Name, "svc-") {
			edge(s.Name, "legacy-services")
		}
	}
	return g
}

// imageServices returns the services defined under s6rc.Dir, sorted by name.
func imageServices(tree *s6rc.Tree) []*s6rc.Service {
	var services []*s6rc.Service
	for _, s := range tree.Services {
		if strings.HasPrefix(s.Path, s6rc.Dir+"/") {
			services = append(services, s)
		}
	}
	slices.SortFunc(services, func(a, b *s6rc.Service) int { return strings.Compare(a.Name, b.Name) })
	return services
}

// Drift is a difference between the declared diagram and the image.
type Drift struct {
	Edge  Edge // or, with To empty, the node From
	Line  int  // in the declared d2 text; 0 if not declared
	Cause Cause

	known bool // whether the image has the service To
}

// Cause is the kind of a Drift.
type Cause string

// The causes.
const (
	Undeclared Cause = "undeclared" // in the image, not in the diagram
	Vanished   Cause = "vanished"   // in the diagram, not in the image
	Repeated   Cause = "repeated"   // in the diagram more than once
)

// Error returns one line that names the edge and how to fix it.
func (d Drift) Error() string {
	what, file := fmt.Sprintf("edge %q", d.Edge.String()), d.Edge.To+"/dependencies.d/"+d.Edge.From
	switch {
	case d.Edge.To == "":
		what, file = fmt.Sprintf("node %q", d.Edge.From), d.Edge.From
	case strings.HasPrefix(d.Edge.From, "svc-") && d.Edge.To == "legacy-services":
		file = d.Edge.From // every svc-* has this edge
	case d.Edge.From == "base" && !d.known:
		file = d.Edge.To // added for a service without dependencies
	}
	switch d.Cause {
	case Undeclared:
		return fmt.Sprintf("init graph: %s is in the image but not in init_diagram: add it there, or take %s/%s out of the image", what, s6rc.Dir, file)
	case Vanished:
		return fmt.Sprintf("init graph: %s is in init_diagram (line %d) but not in the image: remove the line, or add %s/%s to the image", what, d.Line, s6rc.Dir, file)
	default:
		return fmt.Sprintf("init graph: %s is in init_diagram again on line %d: remove that line", what, d.Line)
	}
}

// statements returns the graph's edges, then its nodes as edges without To.
func (g *Graph) statements() []Edge {
	all := slices.Clone(g.Edges)
	for _, n := range g.Nodes {
		all = append(all, Edge{From: n.Name, Line: n.Line})
	}
	return all
}

// parts returns each edge and each node once, in order of appearance, without
// lines.
func (g *Graph) parts() []Edge {
	var all []Edge
	for _, e := range g.statements() {
		for _, part := range []Edge{{From: e.From}, {From: e.To}, {From: e.From, To: e.To}} {
			if part.From != "" && !slices.Contains(all, part) {
				all = append(all, part)
			}
		}
	}
	return all
}

// Compare returns the differences: first what the diagram lacks, then what it must
// not have. It ignores Title and Bases.
func Compare(declared, found *Graph) []Drift {
	var drifts []Drift
	wanted, there := declared.parts(), found.parts()
	for _, e := range found.statements() {
		if e.Line = 0; !slices.Contains(wanted, e) {
			wanted = append(wanted, e) // so that it is listed once
			drifts = append(drifts, Drift{Edge: e, Cause: Undeclared})
		}
	}
	var seen []Edge
	for _, e := range declared.statements() {
		d := Drift{Edge: Edge{From: e.From, To: e.To}, Line: e.Line, known: slices.Contains(there, Edge{From: e.To})}
		switch {
		case !slices.Contains(there, d.Edge):
			d.Cause = Vanished
		case e.To != "" && slices.Contains(seen, d.Edge):
			d.Cause = Repeated
		default:
			seen = append(seen, d.Edge)
			continue
		}
		drifts = append(drifts, d)
	}
	return drifts
}
