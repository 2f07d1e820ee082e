package initgraph_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/initgraph"
	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
)

func golden(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/netbox.d2")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func parse(t *testing.T, text string) *initgraph.Graph {
	t.Helper()
	g, err := initgraph.ParseD2(text)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// The base's fifteen services and the image's three result in the documented
// diagram.
func TestTheImagesServicesGiveTheDocumentedDiagram(t *testing.T) {
	g, tree, err := initgraph.FromFS(rootFS())
	if err != nil {
		t.Fatal(err)
	}
	g.Title, g.Bases = "netbox:latest", []string{"baseimage-alpine:3.20"}
	if got := g.D2(); got != golden(t) {
		t.Errorf("got\n%s\nwant\n%s", got, golden(t))
	}
	if len(tree.Closure("user", "user2")) == 0 {
		t.Error("no tree beside the graph")
	}
}

func TestParseD2ReadsTheDocumentedDiagram(t *testing.T) {
	declared := parse(t, golden(t))
	if got := declared.D2(); got != golden(t) {
		t.Errorf("written again it is\n%s", got)
	}
	found, _, _ := initgraph.FromFS(rootFS())
	if drifts := initgraph.Compare(declared, found); len(drifts) > 0 {
		t.Errorf("drift where there is none: %v", drifts)
	}
	for i, e := range found.Edges { // both number lines in the same way
		if declared.Edges[i] != e {
			t.Errorf("edge %d: declared %+v, drawn %+v", i, declared.Edges[i], e)
		}
	}
}

func TestParseD2UnderstandsVariations(t *testing.T) {
	g := parse(t, `# a comment
"x: \"y\"": { # behind
  "a" -> b c -> "d->e"
  f <- g#h
  box { 
    inside
  }
}
Base Images: {
  "one:1" <- "two:2"
}
`)
	if g.Title != `x: "y"` || strings.Join(g.Bases, " ") != "one:1 two:2" {
		t.Errorf("title %q, bases %q", g.Title, g.Bases)
	}
	want := []initgraph.Edge{{"a", "b c", 3}, {"b c", "d->e", 3}, {"g", "f", 4}}
	for i, e := range want {
		if i >= len(g.Edges) || g.Edges[i] != e {
			t.Errorf("edges %+v, want %+v", g.Edges, want)
		}
	}
	if len(g.Nodes) != 1 || g.Nodes[0].Name != "box" || g.Nodes[0].Line != 5 || g.Nodes[0].Inside[0] != "inside" {
		t.Errorf("nodes %+v", g.Nodes)
	}
	if again := parse(t, g.D2()); again.D2() != g.D2() {
		t.Errorf("not the same after a round trip:\n%s", again.D2())
	}
}

func TestParseD2NamesTheLineThatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "no box with the diagram in it",
		"}":                               "line 1: } closes nothing",
		"t: {\n  a ->\n}":                 "line 2: a name is missing",
		"t: {\n  a -> -> b\n}":            `line 2: "->" is out of place`,
		"t: {\n  -> b\n}":                 `line 2: "->" is out of place`,
		"t: {\n  a -> b: label\n}":        "line 2: labels are not read",
		"t: {\n  \"a -> b\n}":             "line 2: a quote is never closed",
		"t: {\n  a\"b\" -> c\n}":          "line 2: a quote in the middle",
		"t: {\n  a -> b {\n}\n}":          "line 2: a box needs one name",
		"t: {\n  a\n":                     `line 1: the { of "t" is never closed`,
		"t: {\n  b {\n    c -> d\n  }\n}": `line 3: only plain names can stand in box "b"`,
		"t: {\n}\nu: {\n}":                `line 3: a second diagram "u"`,
		"t: {\n}\nu -> v":                 `line 3: "u" stands outside the diagram`,
		"t: { a\n}":                       "line 1: \"a\" behind a {",
		"t: {\n  a; b\n}":                 `line 2: ";" is not part of the d2`,
	} {
		g, err := initgraph.ParseD2(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %+v, %v; want %q", text, g, err, want)
		}
	}
}

func TestCompareNamesEveryDrift(t *testing.T) {
	for name, c := range map[string]struct {
		files    map[string]string
		from, to string // replaced in the declaration
		want     []string
	}{
		"a dependency removed from the image": {
			files: map[string]string{"init-config-end/dependencies.d/init-netbox-config": "-"},
			want: []string{`init graph: edge "init-netbox-config -> init-config-end" is in init_diagram (line 16) but not in the image: ` +
				`remove the line, or add /etc/s6-overlay/s6-rc.d/init-config-end/dependencies.d/init-netbox-config to the image`},
		},
		"a dependency on the base removed, of a service that is there": {
			files: map[string]string{"init-mods/dependencies.d/base": "-"},
			want: []string{`init graph: edge "base -> init-mods" is in init_diagram (line 22) but not in the image: ` +
				`remove the line, or add /etc/s6-overlay/s6-rc.d/init-mods/dependencies.d/base to the image`},
		},
		"a service added without declaring it": {
			files: map[string]string{"svc-extra/type": "longrun\n", "svc-extra/run": "#!/usr/bin/bash\n", "svc-extra/dependencies.d/init-services": "", "user/contents.d/svc-extra": ""},
			want: []string{
				`init graph: edge "init-services -> svc-extra" is in the image but not in init_diagram: add it there, or take /etc/s6-overlay/s6-rc.d/svc-extra/dependencies.d/init-services out of the image`,
				`init graph: edge "svc-extra -> legacy-services" is in the image but not in init_diagram: add it there, or take /etc/s6-overlay/s6-rc.d/svc-extra out of the image`,
			},
		},
		"a service without dependencies added": {
			files: map[string]string{"init-extra/type": "oneshot\n", "init-extra/up": ""},
			want:  []string{`init graph: edge "base -> init-extra" is in the image but not in init_diagram: add it there, or take /etc/s6-overlay/s6-rc.d/init-extra out of the image`},
		},
		"an edge declared twice": {
			from: "  init-services -> svc-cron\n", to: "  init-services -> svc-cron\n  init-services -> svc-cron\n",
			want: []string{`init graph: edge "init-services -> svc-cron" is in init_diagram again on line 36: remove that line`},
		},
		"a node declared that is not there": {
			from: "  docker-mods\n", to: "  docker-mods\n  nosuch\n",
			want: []string{`init graph: node "nosuch" is in init_diagram (line 3) but not in the image: remove the line, or add /etc/s6-overlay/s6-rc.d/nosuch to the image`},
		},
		"an edge turned round": {
			from: "init-adduser -> init-device-perms", to: "init-adduser <- init-device-perms",
			want: []string{
				`init graph: edge "init-adduser -> init-device-perms" is in the image but not in init_diagram: add it there, or take /etc/s6-overlay/s6-rc.d/init-device-perms/dependencies.d/init-adduser out of the image`,
				`init graph: edge "init-device-perms -> init-adduser" is in init_diagram (line 19) but not in the image: remove the line, or add /etc/s6-overlay/s6-rc.d/init-adduser/dependencies.d/init-device-perms to the image`,
			},
		},
	} {
		declared := parse(t, strings.Replace(golden(t), c.from, c.to, 1))
		found, _, err := initgraph.FromFS(with(c.files))
		if err != nil {
			t.Fatal(name, err)
		}
		var got []string
		for _, d := range initgraph.Compare(declared, found) {
			got = append(got, d.Error())
		}
		if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s:\n got %s\nwant %s", name, strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
		}
	}
}

func TestAnInvalidTreeIsAnErrorBesideTheGraph(t *testing.T) {
	g, tree, err := initgraph.FromFS(with(map[string]string{"svc-netbox/dependencies.d/nosuch": ""}))
	if g == nil || tree == nil || !errors.As(err, new(s6rc.Problems)) {
		t.Errorf("got %v, %v, %v", g, tree, err)
	}
}

// Invalid input never panics, and a parsed graph survives a round trip.
func FuzzParseD2(f *testing.F) {
	text, err := os.ReadFile("testdata/netbox.d2")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Add("\"x\": {\n a -> b <- c\n}\n")
	f.Add("x: {\n \"\\\n -> \"\n}")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := initgraph.ParseD2(text)
		if err != nil {
			return
		}
		again, err := initgraph.ParseD2(g.D2())
		if err != nil {
			t.Fatalf("cannot read what was written: %v\n%s", err, g.D2())
		}
		if again.D2() != g.D2() {
			t.Errorf("changed by a round trip:\n%s\n%s", g.D2(), again.D2())
		}
	})
}
