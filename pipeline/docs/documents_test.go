package docs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/d2"
	"github.com/linuxserver/docker-netbox/pipeline/gotool"
	"github.com/linuxserver/docker-netbox/pipeline/initgraph"
	"github.com/linuxserver/docker-netbox/pipeline/readme"
)

// Documents.Check compares only the last line of pictures.
func TestThePicturesInREADMEAreWhatD2Draws(t *testing.T) {
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	tool := d2.Tool{Module: gotool.Module{Dir: "../../tools/d2", Cache: filepath.Join(cache, "docker-netbox", "tools"), Environ: os.Environ(), Wait: 10 * time.Minute}}
	vars, _, err := readme.Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	graph, err := initgraph.ParseD2(vars.InitDiagram)
	if err != nil {
		t.Fatal(err)
	}
	pictures, err := Documents{Repo: "../..", D2: tool}.drawings()
	if err != nil || len(pictures) != 2 {
		t.Fatalf("docs has %d pictures, %v; want one for each look", len(pictures), err)
	}
	for _, theme := range initgraph.Themes() {
		pictures = append(pictures, document{path: readme.Picture(theme.Name), draw: graph.Drawing(theme, nil)})
	}
	for _, picture := range pictures {
		t.Run(filepath.Base(picture.path), func(t *testing.T) {
			t.Parallel()
			want, err := tool.SVG(t.Context(), t.Output(), picture.draw, nil)
			if err != nil {
				t.Fatal(err)
			}
			have, err := os.ReadFile(filepath.Join("../..", filepath.FromSlash(picture.path)))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(have, want) {
				t.Errorf("%s is not what d2 draws: remove it and run `go run ./ci readme`", picture.path)
			}
		})
	}
}

func ExampleDrift() {
	fmt.Println(Drift{})
	// Output: compare README.md with readme-vars.yml: they differ: run "go run ./ci readme" and commit the result
}
