package attest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/attest"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/report"
)

// build returns a build with the pins of this repository.
func build(t testing.TB) attest.Build {
	t.Helper()
	b := attest.Build{
		Source: source, Version: "v4.7.3-ls1", Builder: source + "#by-hand", Pins: map[string][]byte{},
		Report: report.Report{
			Commit: commit, Version: "4.7.3", Engine: "local", Started: time.Date(2026, 11, 24, 3, 0, 0, 999, time.UTC), Seconds: 60,
			Base:      report.Base{Name: "local", Digests: map[string]string{"linux/amd64": "sha256:" + strings.Repeat("a", 64), "linux/arm64": "sha256:" + strings.Repeat("b", 64)}},
			Platforms: []report.Platform{{Platform: "linux/amd64"}, {Platform: "linux/arm64"}},
		},
	}
	for _, file := range attest.PinFiles() {
		text, err := os.ReadFile(filepath.Join("../..", file))
		must(t, err)
		b.Pins[file] = text
	}
	return b
}

func TestAProvenanceNamesEveryInputByItsDigest(t *testing.T) {
	b := build(t)
	p, err := b.Provenance()
	must(t, err)
	var names []string
	for _, r := range p.Definition.Inputs {
		names = append(names, r.Name)
		if len(r.Digest) == 0 && r.URI != "pkg:pypi/netbox@4.7.3" { // its digests are in the list that pins it
			t.Errorf("%+v has no digest", r)
		}
	}
	want := append([]string{"source", "netbox", "base linux/amd64", "base linux/arm64"}, attest.PinFiles()...)
	if !slices.Equal(names, want) {
		t.Errorf("inputs %q, want %q", names, want)
	}
	if got := p.Definition.Inputs[0].Digest["gitCommit"]; got != commit {
		t.Errorf("commit %q", got)
	}
	if e := p.Definition.Internal; e.Emulation["arm64"] == "" || e.BootedWith["postgres"] == "" || e.Epoch == "" {
		t.Errorf("parameters %+v", e)
	}
	text, err := json.Marshal(p)
	must(t, err)
	for _, want := range []string{`"startedOn":"2026-11-24T03:00:00Z"`, `"builder":{"id":"` + source + `#by-hand"}`, `"gitCommit":"` + commit + `"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if strings.Contains(string(text), "invocationId") {
		t.Errorf("a run without an address has one: %s", text)
	}
}

func TestAProvenanceOfAChangedTreeSaysSo(t *testing.T) {
	b := build(t)
	b.Report.Commit = commit + "-dirty"
	p, err := b.Provenance()
	must(t, err)
	if source := p.Definition.Inputs[0]; source.Digest["gitCommit"] != commit || source.Annotations["changed"] != true || p.Definition.External.Revision != commit+"-dirty" {
		t.Errorf("source %+v of %s", source, p.Definition.External.Revision)
	}
}

func TestAProvenanceIsNotMadeOfWhatCannotBeRead(t *testing.T) {
	b := build(t)
	b.Pins["versions.yml"] = []byte("netbox: [")
	if _, err := b.Provenance(); failure.ExitCode(err) != failure.ExitUsage || !strings.Contains(err.Error(), "versions.yml:") {
		t.Errorf("versions.yml: %v", err)
	}
	b = build(t)
	b.Report.Base.Digests["linux/amd64"] = "latest"
	if _, err := b.Provenance(); err == nil || !strings.Contains(err.Error(), "base image of linux/amd64") {
		t.Errorf("base: %v", err)
	}
}

// Every list in build/ must be an input.
func TestEveryListThatPinsDownloadsIsAnInput(t *testing.T) {
	lists, err := filepath.Glob("../../build/*.txt")
	must(t, err)
	want := []string{"versions.yml"}
	for _, list := range lists {
		if name := filepath.Base(list); name != "previous.txt" { // what upgrades are tried from
			want = append(want, "build/"+name)
		}
	}
	got := slices.Sorted(slices.Values(attest.PinFiles()))
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("inputs are %q, the lists %q", got, want)
	}
}
