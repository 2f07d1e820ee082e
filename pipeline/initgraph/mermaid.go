package initgraph

import (
	"fmt"
	"strings"
)

// Mermaid returns the graph as a Mermaid flowchart, which GitHub renders. Nodes
// have numbered ids, because a service's name may be a Mermaid keyword.
func (g *Graph) Mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart TD\n")
	ids := map[string]string{}
	id := func(name string) string {
		if known, ok := ids[name]; ok {
			return known
		}
		ids[name] = fmt.Sprintf("n%d", len(ids))
		label := strings.NewReplacer(`"`, "#quot;", `\n`, "<br>").Replace(name)
		return fmt.Sprintf("%s[\"%s\"]", ids[name], label)
	}
	for _, e := range g.Edges {
		from := id(e.From)
		fmt.Fprintf(&b, "  %s --> %s\n", from, id(e.To))
	}
	return b.String()
}
