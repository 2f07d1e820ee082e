package strictyaml_test

import (
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/strictyaml"
)

type inner struct {
	Port int  `yaml:"port"`
	On   bool `yaml:"on"`
}

type outer struct {
	Name  string           `yaml:"name"`
	Items []inner          `yaml:"items"`
	Map   map[string]inner `yaml:"map"`
	More  inner            `prefix:"more_"`
}

func TestValuesLandInTheirFields(t *testing.T) {
	doc, err := strictyaml.Parse("f.yml", []byte("name: a\nitems:\n  - &x {port: 1, on: true}\n  - *x\nmap: {k: {port: 2}}\nmore_port: 3\nmore_on:\n"))
	if err != nil {
		t.Fatal(err)
	}
	v := outer{More: inner{On: true}}
	if err := doc.Decode(&v); err != nil {
		t.Fatal(err)
	}
	if v.Name != "a" || len(v.Items) != 2 || v.Items[1] != (inner{1, true}) || v.Map["k"].Port != 2 || v.More != (inner{3, true}) {
		t.Errorf("got %+v", v)
	}
	// The line of an alias is that of its value.
	for path, want := range map[string]int{"name": 1, "items": 2, "items[0].port": 3, "items[1]": 3, "map.k": 5, "map.gone.port": 5, "more_port": 6, "nowhere": 1} {
		if got := doc.Line(path); got != want {
			t.Errorf("%s is on line %d, want %d", path, got, want)
		}
	}
	if got := doc.Problem("map.k", "is %s", "wrong").Error(); got != "f.yml:5: map.k: is wrong" {
		t.Errorf("got %q", got)
	}
}

// The line is that of the mistake, or of the unclosed construct.
func TestSyntaxErrorsNameTheRightLine(t *testing.T) {
	for text, want := range map[string]string{
		"name: a\n\tmore: b\n":                   "f.yml:2: ",
		"name: a\nmore: [b\n":                    "f.yml:2: ",
		"name: a\nmore: {b\n":                    "f.yml:2: ",
		"name: a\nmore: \"b\n":                   "f.yml:2: ",
		"name: a\nmore\nlast: c\n":               "f.yml:2: ",
		"name: a\n  more: b\n":                   "f.yml:2: ",
		"name: a\nmore: b: c\n":                  "f.yml:2: ",
		"name: a\nmore: *gone\n":                 "f.yml:2: ",
		"name: a\nmap:\n  k: 1\n k: 2\n":         "f.yml:4: ",
		"name: a\n---\nname: b\n":                "f.yml:2: a second YAML document",
		"name: @a\n":                             "f.yml:1: ",
		"name: a\nitems:\n  - port: 1\n   on: x": "f.yml:3: ",
	} {
		_, err := strictyaml.Parse("f.yml", []byte(text))
		if err == nil || !strings.HasPrefix(err.Error(), want) || failure.ExitCode(err) != failure.ExitUsage {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

func TestNothingUnknownPasses(t *testing.T) {
	doc, err := strictyaml.Parse("f.yml", []byte("nam: a\nitems: [{prot: 1}, {on: 1}, 3]\nmap: {k: []}\nmore_port: 99999999999999999999\n<<: {a: b}\nname: [1]\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := failure.Lines(doc.Decode(new(outer)))
	want := []string{
		`f.yml:1: nam: unknown key, did you mean "name"?`,
		`f.yml:2: items[0].prot: unknown key, did you mean "port"?`,
		`f.yml:2: items[1].on: want true or false, got a whole number (1)`,
		`f.yml:2: items[2]: want keys with values, got a whole number (3)`,
		`f.yml:3: map.k: want keys with values, got a list`,
		`f.yml:4: more_port: want a whole number, got a number (99999999999999999999)`,
		`f.yml:5: only plain keys are understood`,
		`f.yml:6: name: want text, got a list; text that begins with { or [ needs quotes`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWhatIsRequiredIsNamedOnce(t *testing.T) {
	type item struct {
		Name  string `yaml:"name" required:""`
		Value string `yaml:"value"`
	}
	type file struct {
		Title string `yaml:"title" required:""`
		Items []item `yaml:"items"`
	}
	for text, want := range map[string]string{
		"items:\n  - {value: a}\n  - {name: ' '}\n": "f.yml:2: items[0].name: missing\nf.yml:3: items[1].name: missing\nf.yml:1: title: missing",
		"title:\n":   "f.yml:1: title: missing",
		"titel: a\n": `f.yml:1: titel: unknown key, did you mean "title"?`,
		"title: 1\n": "f.yml:1: title: want text, got a whole number (1); put it in quotes",
		"- a\n":      "f.yml:1: want keys with values, got a list",
	} {
		doc, err := strictyaml.Parse("f.yml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(failure.Lines(doc.Decode(new(file))), "\n"); got != want {
			t.Errorf("%q: got\n%s\nwant\n%s", text, got, want)
		}
	}
}
