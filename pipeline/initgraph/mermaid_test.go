package initgraph_test

import (
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/initgraph"
)

func TestAGraphIsDrawnAsMermaidWithEachNodeNamedOnce(t *testing.T) {
	g := &initgraph.Graph{Edges: []initgraph.Edge{{From: "base", To: "end"}, {From: "base", To: `a "b"\nfix`}, {From: "end", To: `a "b"\nfix`}}}
	const want = `flowchart TD
  n0["base"] --> n1["end"]
  n0 --> n2["a #quot;b#quot;<br>fix"]
  n1 --> n2
`
	if got := g.Mermaid(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
