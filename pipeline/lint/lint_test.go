package lint

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/gotool"
	"github.com/linuxserver/docker-netbox/tests/need"
)

// at returns the repository at dir, with the linters of this repository.
func at(t *testing.T, dir string) Repo {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIPPED: -short leaves out building linters")
	}
	need.Debian(t, "shellcheck")
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return Repo{Dir: dir, Tool: func(name string) gotool.Module {
		return gotool.Module{Dir: filepath.Join("../../tools", name), Cache: filepath.Join(cache, "docker-netbox", "tools"), Environ: os.Environ(), Wait: 20 * time.Minute}
	}}
}

func TestEachFindingIsALine(t *testing.T) {
	repo := at(t, t.TempDir())
	for name, text := range map[string]string{
		"go.mod":                    "module example.com/found\n\ngo 1.26\n",
		"format.go":                 "package main\nfunc  init() { sum(1, 2); sum(3, 2) }\n",
		"main.go":                   "package main\n\nfunc main() {\n\treturn\n\tprintln()\n}\n",
		"unused.go":                 "package main\n\ntype unused struct{}\n",
		"same.go":                   "package main\n\nfunc sum(a, b int) { println(a); println(2 * a) }\n",
		"dead.go":                   "package main\n\n// Dead is called by nothing.\nfunc Dead() {}\n",
		".github/workflows/bad.yml": "on: push\njobs: {a: {runs-on: ubuntu-24.04, steps: [{run: 'echo ${{ nothing.there }}'}]}}\n",
		"bad":                       "#!/bin/sh\nrm $1\n",
		"build/hidden":              "#!/bin/sh -e\nrm \"$(cat list)\"\n",
		"dist/left.go":              "package  left\n",
	} {
		file := filepath.Join(repo.Dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, err := repo.Check(t.Context(), t.Output())
	if code := failure.ExitCode(err); code != failure.ExitCheck {
		t.Errorf("exit status %d, want %d", code, failure.ExitCheck)
	}
	lines := failure.Lines(err)
	want := map[string]string{
		"format.go":                 "(gofmt)",
		"main.go:5:":                "(vet)",
		"unused.go:3:6:":            "(U1000) (staticcheck)",
		"same.go:3:":                "(unparam)",
		"dead.go:4:6:":              "(deadcode)",
		".github/workflows/bad.yml": "(actionlint)",
		"bad:2:":                    "(shellcheck)",
		"build/hidden:2:":           "(shellcheck)",
	}
	for _, place := range slices.Sorted(maps.Keys(want)) {
		i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, place) && strings.HasSuffix(l, want[place]) })
		if i < 0 {
			t.Errorf("nothing is found in %s by %s", place, want[place])
			continue
		}
		lines = slices.Delete(lines, i, i+1)
	}
	if len(lines) > 0 {
		t.Errorf("also found: %q", lines)
	}
}

// The linters of Go code take a minute even when nothing has changed: only the verb
// runs them.
func TestThisRepositoryHasNoFindings(t *testing.T) {
	repo := at(t, "../..")
	linters, err := repo.linters()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range linters {
		if !slices.Contains([]string{"gofmt", "actionlint", "shellcheck"}, l.name) {
			continue
		}
		findings, err := repo.run(t.Context(), t.Output(), l)
		for _, f := range findings {
			t.Errorf("%s: %s", l.name, f)
		}
		if err != nil {
			t.Error(err)
		}
		if len(l.args) < 5 {
			t.Errorf("%s checks only %q", l.name, l.args)
		}
	}
}
