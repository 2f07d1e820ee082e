package readme_test

import (
	"os"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/readme"
)

func TestAnotherInitDiagramChangesNoOtherByte(t *testing.T) {
	const diagram = "\"x:latest\": {\n  a -> b\n\n  b -> \"c d\"\n}\n"
	for name, c := range map[string]struct{ from, to string }{
		"a block": {
			"# top\nb: 1   # odd   spacing\n\ninit_diagram: |\n  old\n\n    older\n\n# changelog\na: [ 1,2 ]\n",
			"# top\nb: 1   # odd   spacing\n\ninit_diagram: |\n  \"x:latest\": {\n    a -> b\n\n    b -> \"c d\"\n  }\n\n# changelog\na: [ 1,2 ]\n",
		},
		"another indent": {
			"init_diagram:   |\n    old\nz: 'kept'\n",
			"init_diagram: |\n  \"x:latest\": {\n    a -> b\n\n    b -> \"c d\"\n  }\nz: 'kept'\n",
		},
		"the last of the file, without a newline": {
			"z: 1\ninit_diagram: |\n  old",
			"z: 1\ninit_diagram: |\n  \"x:latest\": {\n    a -> b\n\n    b -> \"c d\"\n  }\n",
		},
		"quoted": {
			"init_diagram: \"old\\n\n  older\"\nz: 1\n",
			"init_diagram: |\n  \"x:latest\": {\n    a -> b\n\n    b -> \"c d\"\n  }\nz: 1\n",
		},
		"empty": {
			"init_diagram:\nz: 1\n",
			"init_diagram: |\n  \"x:latest\": {\n    a -> b\n\n    b -> \"c d\"\n  }\nz: 1\n",
		},
		"none": {
			"---\nz: 1",
			"---\nz: 1\ninit_diagram: |\n  \"x:latest\": {\n    a -> b\n\n    b -> \"c d\"\n  }\n",
		},
		"lines of Windows": {
			"init_diagram: |\r\n  old\r\nz: 1\r\n",
			"init_diagram: |\r\n  \"x:latest\": {\r\n    a -> b\r\n\r\n    b -> \"c d\"\r\n  }\r\nz: 1\r\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readme.SetInitDiagram("x.yml", []byte(c.from), diagram)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != c.to {
				t.Errorf("got\n%s\nwant\n%s", got, c.to)
			}
		})
	}
}

func TestADiagramThatCannotBeSetAloneIsNotSet(t *testing.T) {
	for _, from := range []string{
		"{ init_diagram: old, z: 1 }\n", // all on one line
		"init_diagram: &a |\n  old\nz: *a\n",
		"- a list\n",
		"z: [\n",
	} {
		got, err := readme.SetInitDiagram("x.yml", []byte(from), "a\n")
		if failure.ExitCode(err) != failure.ExitUsage || !strings.HasPrefix(err.Error(), "x.yml:") && !strings.Contains(err.Error(), "init_diagram in x.yml") {
			t.Errorf("%q: got %q, %v", from, got, err)
		}
	}
}

func TestThisRepositorysDiagramSurvivesBeingSetAgain(t *testing.T) {
	data, err := os.ReadFile(root + readme.File)
	if err != nil {
		t.Fatal(err)
	}
	v, err := readme.Parse(readme.File, data)
	if err != nil {
		t.Fatal(err)
	}
	again, err := readme.SetInitDiagram(readme.File, data, v.InitDiagram)
	if err != nil || string(again) != string(data) {
		t.Errorf("the file changed, %v", err)
	}
	other, err := readme.SetInitDiagram(readme.File, data, "\"a\": {\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	back, err := readme.SetInitDiagram(readme.File, other, v.InitDiagram)
	if err != nil || string(other) == string(data) || string(back) != string(data) {
		t.Errorf("there and back again is not the same, %v", err)
	}
}
