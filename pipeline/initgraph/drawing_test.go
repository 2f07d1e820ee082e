package initgraph_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/d2"
	"github.com/linuxserver/docker-netbox/pipeline/gotool"
	"github.com/linuxserver/docker-netbox/pipeline/initgraph"
)

func declared(t *testing.T) *initgraph.Graph {
	t.Helper()
	text, err := os.ReadFile("testdata/netbox.d2")
	if err != nil {
		t.Fatal(err)
	}
	g, err := initgraph.ParseD2(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestADrawingLeavesOutWhatFollowsAndNothingElse(t *testing.T) {
	g := declared(t)
	text := g.Drawing(initgraph.Light, nil)
	for _, e := range g.Edges {
		drawn := strings.Contains(text, `"`+e.From+`" -> "`+e.To+`": `)
		others := &initgraph.Graph{}
		for _, o := range g.Edges {
			if o != e {
				others.Edges = append(others.Edges, o)
			}
		}
		if follows := reaches(others, e.From, e.To, map[string]bool{}); drawn == follows {
			t.Errorf("%s: drawn %t, follows from others %t", e, drawn, follows)
		}
	}
	for _, want := range []string{
		`"svc-netbox": "svc-netbox" { class: [service; own] }`,
		`"svc-cron": "svc-cron" { class: [service] }`,
		`"base": "base: fix-attr + legacy cont-init" { class: [milestone] }`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
}

func reaches(g *initgraph.Graph, from, to string, seen map[string]bool) bool {
	seen[from] = true
	for _, e := range g.Edges {
		if e.From == from && (e.To == to || !seen[e.To] && reaches(g, e.To, to, seen)) {
			return true
		}
	}
	return false
}

func TestDifferencesAreDrawnInColourWhetherTheyFollowOrNot(t *testing.T) {
	found := declared(t)
	documented := declared(t)
	// The image has an additional service, and an edge that follows from others.
	found.Edges = append(found.Edges,
		initgraph.Edge{From: "init-services", To: "svc-extra"}, initgraph.Edge{From: "svc-extra", To: "legacy-services"},
		initgraph.Edge{From: "init-config", To: "init-mods"})
	// It lacks one service, and an edge.
	documented.Edges = append(documented.Edges, initgraph.Edge{From: "base", To: "init-gone"})
	for i, e := range found.Edges {
		if e.From == "svc-netbox-prepare" && e.To == "svc-netbox" {
			found.Edges = append(found.Edges[:i], found.Edges[i+1:]...)
			break
		}
	}
	documented.Edges = append(documented.Edges, documented.Edges[0])
	drifts := initgraph.Compare(documented, found)
	for _, theme := range initgraph.Themes() {
		text := found.Drawing(theme, drifts)
		for _, want := range []string{
			`"svc-extra": "svc-extra" { class: [service; undeclared] }`,
			`"init-services" -> "svc-extra": undocumented { class: undeclared }`,
			`"init-config" -> "init-mods": undocumented { class: undeclared }`,
			`"init-gone": "init-gone" { class: [service; vanished] }`,
			`"base" -> "init-gone": not in the image { class: vanished }`,
			`"svc-netbox-prepare" -> "svc-netbox": not in the image { class: vanished }`,
			`"docker-mods" -> "base": documented twice { class: repeated }`,
		} {
			if !strings.Contains(text, want+"\n") {
				t.Errorf("%s is missing in\n%s", want, text)
			}
		}
		svg := picture(t, text)
		for _, want := range []string{">svc-extra<", ">init-gone<", ">undocumented<", ">not in the image<", ">documented twice<"} {
			if !strings.Contains(svg, want) {
				t.Errorf("%s: the picture does not show %s", theme.Name, want)
			}
		}
	}
}

// Special characters in names of services do not break the drawing.
func TestOddNamesAreDrawnAsTheyAre(t *testing.T) {
	g := &initgraph.Graph{Title: "it's:latest", Edges: []initgraph.Edge{
		{From: "a.b", To: "c: d"}, {From: "c: d", To: `e "f"`}, {From: `e "f"`, To: "near"}, {From: "near", To: "svc-it's"}, {From: "svc-it's", To: "key"},
	}}
	svg := picture(t, g.Drawing(initgraph.Dark, nil))
	for _, want := range []string{">a.b<", ">c: d<", ">near<", ">key<", ">svc-it&#39;s<", ">e &#34;f&#34;<"} {
		if !strings.Contains(svg, want) {
			t.Errorf("the picture does not show %s", want)
		}
	}
}

func picture(t *testing.T, text string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	tool := d2.Tool{Module: gotool.Module{Dir: "../../tools/d2", Cache: filepath.Join(cache, "docker-netbox", "tools"), Environ: os.Environ(), Wait: 10 * time.Minute}}
	svg, err := tool.SVG(t.Context(), t.Output(), text, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return string(svg)
}
