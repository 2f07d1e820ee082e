// Package initgraph finds the order in which an image starts its services: it
// reads the s6-rc sources from the image's file system, draws them as the d2
// diagram of the documentation, compares that with the declared diagram, and
// checks both the sources and the log of a boot.
//
//	root, err := initgraph.OpenImage(img)
//	found, tree, err := initgraph.FromFS(root)
//	err = initgraph.Check(root)                     // before booting
//	declared, err := initgraph.ParseD2(diagram)
//	drifts := initgraph.Compare(declared, found)
//	boot, err := initgraph.CheckBoot(tree, events)  // afterwards
//
// Checks report everything they find at once, as joined errors of a line
// each.
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
	Nodes []Node   // those that are named on a line of their own
	Edges []Edge
}

// Node is a node named on a line of its own.
type Node struct {
	Name   string
	Inside []string // what is drawn in it
	Line   int      // in the d2 text, from 1
}

// Edge says that From is up before To starts.
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

// FromFS reads the graph and the service tree under a root file system. The
// graph has no Title and no Bases: a file system does not know them. A tree
// that s6-rc-compile would refuse returns an error that wraps s6rc.Problems,
// next to what could be read.
func FromFS(root fs.FS) (*Graph, *s6rc.Tree, error) {
	sources, err := fs.Sub(root, strings.TrimPrefix(s6rc.Dir, "/"))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the services under %s: %w", s6rc.Dir, err)
	}
	tree, err := s6rc.Load(sources)
	if err != nil {
		err = fmt.Errorf("reading the services under %s: %w", s6rc.Dir, err)
	}
	return draw(tree), tree, err
}

// draw makes the diagram of a service tree: a fixed preamble for what
// s6-overlay and the base image do themselves, then service by service in
// name order what each waits for. Services without dependencies wait for
// base; svc-* have legacy-services behind them.
func draw(tree *s6rc.Tree) *Graph {
	g := &Graph{
		Nodes: []Node{
			{Name: "docker-mods", Line: 2}, // behind the title
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

// imageServices are the services defined under s6rc.Dir, by name.
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
	Line  int  // in the declared d2 text; 0: not declared
	Cause Cause

	known bool // the image has the service that To names
}

// Cause says what kind of difference a Drift is.
type Cause string

// The causes.
const (
	Undeclared Cause = "undeclared" // in the image, not in the diagram
	Vanished   Cause = "vanished"   // in the diagram, not in the image
	Repeated   Cause = "repeated"   // in the diagram once more
)

// Error is one line that names the edge and the ways out.
func (d Drift) Error() string {
	what, file := fmt.Sprintf("edge %q", d.Edge.String()), d.Edge.To+"/dependencies.d/"+d.Edge.From
	switch {
	case d.Edge.To == "":
		what, file = fmt.Sprintf("node %q", d.Edge.From), d.Edge.From
	case strings.HasPrefix(d.Edge.From, "svc-") && d.Edge.To == "legacy-services":
		file = d.Edge.From // every svc-* has this edge
	case d.Edge.From == "base" && !d.known:
		file = d.Edge.To // drawn for a service without dependencies
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

// statements are the lines of the graph's d2 text: its edges, then its nodes, as
// edges without To.
func (g *Graph) statements() []Edge {
	all := slices.Clone(g.Edges)
	for _, n := range g.Nodes {
		all = append(all, Edge{From: n.Name, Line: n.Line})
	}
	return all
}

// parts lists each edge and each node once, in the order in which they are named,
// without their lines.
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

// Compare lists what differs, first what the diagram lacks, then what it has
// too much. Title and Bases are not compared.
func Compare(declared, found *Graph) []Drift {
	var drifts []Drift
	wanted, there := declared.parts(), found.parts()
	for _, e := range found.statements() {
		if e.Line = 0; !slices.Contains(wanted, e) {
			wanted = append(wanted, e) // to be listed once
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
