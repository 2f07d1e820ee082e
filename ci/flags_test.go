package main

import (
	"encoding/json"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/linuxserver/docker-netbox/pipeline/attest"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// reads reports whether a verb has a flag.
func reads(t *testing.T, verb, flag string) bool {
	t.Helper()
	root, _ := newRoot(streams{out: io.Discard, err: io.Discard}, func(string) string { return "" })
	i := slices.IndexFunc(root.Commands(), func(c *cobra.Command) bool { return c.Name() == verb })
	return i >= 0 && root.Commands()[i].Flags().Lookup(strings.TrimPrefix(flag, "--")) != nil
}

// The help of a verb must not list flags that it does not read.
func TestEveryVerbHasTheFlagsItReads(t *testing.T) {
	all := []string{"--repo", "--platform", "--engine", "--base", "--output", "--json", "--timeout", "--wait"}
	for verb, want := range map[string]string{
		"check":      "--repo --platform --engine --base --output --json --timeout --wait",
		"release":    "--repo --platform --engine --base --output --json --timeout --wait",
		"boot":       "--repo --platform --engine --base --output --json --timeout --wait",
		"build":      "--repo --platform --engine --base --output --json --wait",
		"graph":      "--repo --platform --engine --base --output --json --wait",
		"readme":     "--repo --output --json --wait",
		"packages":   "--repo --output --json",
		"publish":    "--repo --engine --output --json --wait",
		"merge":      "--repo --output --json --wait",
		"verify":     "--repo --platform --engine --base --output --json --wait",
		"pin":        "--repo --base --json --wait", // its own --base
		"lint":       "--repo --json --wait",
		"report":     "--output --json",
		"clean":      "--output --json --wait",
		"completion": "",
		"help":       "",
	} {
		var have []string
		for _, flag := range all {
			if reads(t, verb, flag) {
				have = append(have, flag)
			}
		}
		if got := strings.Join(have, " "); got != want {
			t.Errorf("%s has %q, want %q", verb, got, want)
		}
	}
	for _, verb := range verbs(t) {
		if verb != "help" && verb != "completion" && !reads(t, verb, "--json") {
			t.Errorf("%s prints no JSON", verb)
		}
	}
}

// With --json a verb also prints JSON when it fails.
func TestFailuresAreJSONWithJSON(t *testing.T) {
	for _, args := range [][]string{
		{"report", "--json"}, {"build", "--repo", "/nowhere", "--json"}, {"pin", "--json"}, {"verify", "--json"},
		{"clean", "--json", "--wait", "-5s"}, {"readme", "--json", "--no-such-flag"}, {"readme", "--no-such-flag", "--json"},
	} {
		if reads(t, args[0], "--output") {
			args = append(args, "--output", t.TempDir())
		}
		stdout, stderr, code := invoke(t, t.Context(), args...)
		var got failed
		if err := json.Unmarshal([]byte(stdout), &got); err != nil || len(got.Errors) != 1 || got.Errors[0]+"\n" != stderr || got.Status != code || code != failure.ExitUsage {
			t.Errorf("%q: status %d, %q, %q, %v", args, code, stdout, stderr, err)
		}
	}
}

// The fields of every result are listed in docs/maintaining.md.
func TestTheFieldsOfJSONAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/maintaining.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## JSON\n")
	section, _, _ = strings.Cut(section, "\n## ")
	if !ok {
		t.Fatal("docs/maintaining.md has no section about JSON")
	}
	for verb, results := range map[string][]any{
		"check": {report.Report{}}, "build": {report.Report{}}, "boot": {report.Report{}}, "report": {report.Report{}}, "merge": {report.Report{}},
		"graph": {graphResult{}}, "graph --write": {readmeResult{}}, "readme": {readmeResult{}}, "packages": {sbom.Change{}},
		"publish": {report.Tag{}}, "release": {report.Tag{}, release.Plan{}}, "verify": {attest.Result{}}, "pin": {pinResult{}}, "clean": {cleanResult{}},
		"any command that fails before it has a result": {failed{}},
	} {
		row := ""
		for line := range strings.Lines(section) {
			if cells := strings.Split(line, "|"); len(cells) > 2 && (strings.TrimSpace(cells[1]) == verb || strings.Contains(cells[1], "`"+verb+"`")) {
				row += line
			}
		}
		for _, result := range results {
			for field := range reflect.TypeOf(result).Fields() {
				name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
				if name != "" && name != "-" && !strings.Contains(row, "`"+name+"`") {
					t.Errorf("%s: the field %s is not documented", verb, name)
				}
			}
		}
	}
}

// Verbs that do not use the cache work without a home directory.
func TestOnlyWhatUsesTheCacheNeedsAHome(t *testing.T) {
	t.Setenv("HOME", "")
	t.Setenv("XDG_CACHE_HOME", "")
	for _, test := range []struct{ verb, want string }{{"pin", "pass one of --netbox"}, {"clean", "set HOME or XDG_CACHE_HOME"}} {
		_, stderr, code := invoke(t, t.Context(), test.verb)
		if code != failure.ExitUsage || !strings.Contains(stderr, test.want) {
			t.Errorf("%s: status %d, %q, want %q", test.verb, code, stderr, test.want)
		}
	}
}
