package session_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/session"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
	"github.com/linuxserver/docker-netbox/tests/testrepo"
)

// repository returns a git repository with the project's pinned versions.
func repository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	pins, err := os.ReadFile("../../versions.yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, versions.File), pins, 0o644); err != nil {
		t.Fatal(err)
	}
	testrepo.Commit(t, dir)
	return dir
}

// complete completes the options of a run. change edits its request.
func complete(t *testing.T, change func(*session.Request)) (pipeline.Options, string, error) {
	t.Helper()
	opts := pipeline.Options{Repo: repository(t)}
	var log strings.Builder
	req := session.Request{Platforms: []string{"linux/arm64", "linux/amd64"}, Log: &log}
	change(&req)
	err := session.Complete(t.Context(), &opts, req)
	return opts, log.String(), err
}

func TestInputsAreTheRequestedOrThePinnedOnes(t *testing.T) {
	opts, log, err := complete(t, func(a *session.Request) { a.Release, a.Base = "4.7.2", "localhost:5000/base:1" })
	if err != nil || opts.BaseName != "localhost:5000/base:1" || opts.Versions.NetBox.Release != "4.7.2" || len(opts.Platforms) != 2 || len(opts.Source.Commit) != 40 || log != "" {
		t.Errorf("got %+v, %q, %v", opts, log, err)
	}
	pinned, _, err := complete(t, func(*session.Request) {})
	if err != nil || pinned.BaseName != pinned.Versions.Base.Published || pinned.Versions.NetBox.Release == "4.7.2" || pinned.Versions.CPUs()["arm64"] == "" {
		t.Errorf("without a wish: %+v, %v", pinned, err)
	}
	planned, _, err := complete(t, func(a *session.Request) { a.Plan = &release.Plan{Version: "1"} }) // of a published image, not a whole release
	if err != nil || planned.Version != "1" {
		t.Errorf("part of a plan stands in the way: %+v, %v", planned, err)
	}
}

func TestInvalidInputsAreReportedInOneLine(t *testing.T) {
	for want, change := range map[string]func(*session.Request){
		"no image for it":            func(a *session.Request) { a.Platforms = []string{"linux/mips"} },
		"read the base image's name": func(a *session.Request) { a.Base = "A:B:C" },
		"the plan is to skip it":     func(a *session.Request) { a.Plan = &release.Plan{Commit: "1234", Skip: "nothing has changed"} },
	} {
		if _, _, err := complete(t, change); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
