package readme_test

import (
	"flag"
	"os"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/readme"
)

const root = "../../"

var update = flag.Bool("update", false, "write the expected files again")

// page returns the expected README.md.
func page(t *testing.T) string {
	t.Helper()
	v, extra, err := readme.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	extra.Pictures = true
	text, err := v.README(extra)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestREADMEIsUpToDate(t *testing.T) {
	want := page(t)
	if *update {
		if err := os.WriteFile(root+readme.Page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(root + readme.Page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := readme.Diff(readme.Page, have, []byte(want)); diff != "" {
		t.Errorf("README.md is not what readme-vars.yml says; run `go run ./ci readme`:\n%s", diff)
	}
}
