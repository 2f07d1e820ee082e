package initgraph_test

import (
	"os"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/initgraph"
)

func TestAnUpdatedDiagramKeepsWhatIsRightInIt(t *testing.T) {
	text, err := os.ReadFile("testdata/netbox.d2")
	if err != nil {
		t.Fatal(err)
	}
	right := string(text)
	found, err := initgraph.ParseD2(right)
	if err != nil {
		t.Fatal(err)
	}
	const first, comment = "  init-migrations -> init-adduser\n", "  # The image's own come last.\n"
	own := strings.Replace(strings.Replace(right, first, "", 1), "  svc-netbox -> legacy-services\n", comment+first+"  svc-netbox -> legacy-services\n", 1)
	for name, c := range map[string]struct{ text, want string }{
		"as it is":             {right, right},
		"another order":        {own, own},
		"an edge is missing":   {strings.Replace(right, "  init-config -> init-config-end\n", "", 1), right},
		"a service is missing": {strings.NewReplacer("  init-services -> svc-cron\n", "", "  svc-cron -> legacy-services\n", "").Replace(own), own},
		"an edge too much":     {strings.Replace(own, comment, comment+"  base -> svc-gone\n", 1), own},
		"an edge twice":        {own[:strings.Index(own, "}\nBase")] + "  base -> init-mods\n" + own[strings.Index(own, "}\nBase"):], own},
		"several on a line":    {strings.Replace(right, first, "  base -> init-migrations -> init-adduser -> svc-gone\n", 1), right},
		"not readable":         {"{{{\n", right},
		"none of it":           {"\"netbox:latest\": {\n}\nBase Images: {\n  \"baseimage-alpine:3.20\"\n}\n", right},
	} {
		t.Run(name, func(t *testing.T) {
			got := found.Update(c.text)
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}
