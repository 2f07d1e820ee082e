package release_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/release"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// tried returns a run of release.yml for the commit and the reason of due, some hours
// before noon.
func tried(hours float64, conclusion string) release.Attempt {
	return release.Attempt{
		Commit: head, Event: "workflow_dispatch", Title: "Release (commit: since the published 222222222222: Dockerfile)",
		Conclusion: conclusion, Created: noon.Add(-time.Duration(hours * float64(time.Hour))), URL: "https://example.com/runs/1",
	}
}

// due returns facts for which a release is due.
func due(attempts ...release.Attempt) release.Facts {
	return facts(func(f *release.Facts) {
		f.Published.Commit, f.Changed = before, []string{"Dockerfile"}
		f.Now, f.Attempts = noon, attempts
	})
}

func TestAReleaseThatFailedWaitsLongerWithEachTry(t *testing.T) {
	with := func(a release.Attempt, change func(*release.Attempt)) release.Attempt { change(&a); return a }
	for name, test := range map[string]struct {
		attempts []release.Attempt
		says     string // "" when it is released
	}{
		"never tried":              {nil, ""},
		"failed an hour ago":       {[]release.Attempt{tried(1, "failure")}, "it failed once at commit 111111111111, last in https://example.com/runs/1: it is tried again after 2026-11-26 13:00 UTC; start release.yml by hand to try it now"},
		"failed two hours ago":     {[]release.Attempt{tried(2, "failure")}, ""},
		"failed twice":             {[]release.Attempt{tried(3, "failure"), tried(1, "timed_out")}, "it failed 2 times at commit 111111111111, last in https://example.com/runs/1: it is tried again after 2026-11-26 15:00 UTC"},
		"in any order":             {[]release.Attempt{tried(1, "timed_out"), tried(3, "failure")}, "tried again after 2026-11-26 15:00 UTC"},
		"failed for days":          {[]release.Attempt{tried(23, "failure"), tried(40, "failure"), tried(60, "failure"), tried(80, "failure"), tried(99, "failure"), tried(200, "failure")}, "it failed 6 times at commit 111111111111, last in https://example.com/runs/1: it is tried again after 2026-11-26 13:00 UTC"},
		"failed for days, a day":   {[]release.Attempt{tried(24, "failure"), tried(40, "failure"), tried(60, "failure"), tried(80, "failure"), tried(99, "failure"), tried(200, "failure")}, ""},
		"it runs":                  {[]release.Attempt{tried(1, "")}, ""},
		"replaced in the queue":    {[]release.Attempt{tried(1, "cancelled")}, ""},
		"failed before a good one": {[]release.Attempt{tried(1, "success"), tried(1.5, "failure")}, ""},
		"another commit":           {[]release.Attempt{with(tried(1, "failure"), func(a *release.Attempt) { a.Commit = before })}, ""},
		"another reason":           {[]release.Attempt{with(tried(1, "failure"), func(a *release.Attempt) { a.Title = "Release (base: it was another)" })}, ""},
		"by hand":                  {[]release.Attempt{with(tried(1, "failure"), func(a *release.Attempt) { a.Title = "Release (main)" })}, ""},
		"a title that was cut":     {[]release.Attempt{with(tried(1, "failure"), func(a *release.Attempt) { a.Title = "Release (commit: since the publ…" })}, "it failed once"},
		"by the push":              {[]release.Attempt{with(tried(1, "failure"), func(a *release.Attempt) { a.Event, a.Title = "push", "Release (main)" })}, "it failed once"},
	} {
		plan, err := release.Make(due(test.attempts...))
		if err != nil || (plan.Skip == "") != (test.says == "") || !strings.Contains(plan.Skip, test.says) {
			t.Errorf("%s: %v, %q, want %q", name, err, plan.Skip, test.says)
		}
	}

	forced := due(tried(1, "failure"))
	forced.Force = true
	if plan, err := release.Make(forced); err != nil || plan.Skip != "" {
		t.Errorf("forced: %v, %q", err, plan.Skip)
	}
	base := due(with(tried(1, "failure"), func(a *release.Attempt) { a.Event, a.Title = "push", "Release (main)" }))
	base.Base.Digest = "sha256:cccc"
	if plan, err := release.Make(base); err != nil || plan.Skip != "" {
		t.Errorf("the base has changed since the push: %v, %q", err, plan.Skip)
	}
}

func TestRunsOfTheWorkflowAreReadAsGhListsThem(t *testing.T) {
	file := filepath.Join(t.TempDir(), "attempts.json")
	read := func(text string) ([]release.Attempt, error) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return release.ReadAttempts(file)
	}
	got, err := read(`[{"conclusion":"failure","createdAt":"2026-11-26T11:00:00Z","displayTitle":"Release (main)","event":"push","headSha":"` + head + `","url":"https://example.com/runs/1"}]`)
	want := release.Attempt{Commit: head, Event: "push", Title: "Release (main)", Conclusion: "failure", Created: noon.Add(-time.Hour), URL: "https://example.com/runs/1"}
	if err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("%v, %+v", err, got)
	}
	if got, err := read("[]"); err != nil || len(got) != 0 {
		t.Errorf("none: %v, %v", err, got)
	}
	for _, bad := range []string{"", "{}", `[{"conclusion":"failure"}]`} {
		if _, err := read(bad); failure.ExitCode(err) != failure.ExitUsage || !strings.Contains(err.Error(), "gh run list --workflow release.yml --json") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := release.ReadAttempts(file + "x"); failure.ExitCode(err) != failure.ExitUsage {
		t.Errorf("no file: %v", err)
	}
}
