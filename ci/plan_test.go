package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAReleaseThatFailedIsPlannedToWaitUnlessForced(t *testing.T) {
	p := newProject(t)
	file := filepath.Join(p.dir, "attempts.json")
	text := fmt.Sprintf(`[{"headSha":%q,"event":"push","displayTitle":"Release (main)","conclusion":"failure","createdAt":%q,"url":"https://example.com/runs/1"}]`,
		p.commit, time.Now().UTC().Format(time.RFC3339))
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if plan, _ := p.plan("--attempts", file); !strings.Contains(plan.Skip, "it failed once at commit "+p.commit[:12]+", last in https://example.com/runs/1") {
		t.Errorf("skip: %q", plan.Skip)
	}
	if out := p.file("output"); !strings.Contains(out, "it failed once") {
		t.Errorf("outputs: %s", out)
	}
	if summary := p.file("summary"); !strings.Contains(summary, "## Plan: skip: it failed once") {
		t.Errorf("summary: %s", summary)
	}
	if plan, _ := p.plan("--attempts", file, "--force"); plan.Skip != "" {
		t.Errorf("forced: %q", plan.Skip)
	}
}
