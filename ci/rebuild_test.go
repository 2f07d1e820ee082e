package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

func TestWhatCannotBeBuiltAgainIsRefusedBeforeAnythingIsBuilt(t *testing.T) {
	p := newProject(t)
	plan, file := p.plan("--published", "none")
	p.proveWithPackages(plan, file)
	p.good("merge", "--plan", file, "--reports", filepath.Join(p.dir, "proven"))
	other := filepath.Join(p.dir, "other") // a repository without the commit
	for _, args := range [][]string{{"init", "-q", other}, {"-C", other, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "--allow-empty", "-m", "one"}} {
		if out, err := exec.CommandContext(t.Context(), "git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	for name, test := range map[string]struct {
		reference, repo string
		says            string
	}{
		"one image":             {p.repositories[0] + ":arm64v8-latest", p.repo, "it is one image: pass the tag or the digest of the index"},
		"a commit of elsewhere": {p.repositories[0] + ":latest", other, "check out commit " + p.commit},
	} {
		t.Run(name, func(t *testing.T) {
			at := *p
			at.repo = test.repo
			_, stderr, code := at.ci("verify", "--rebuild", test.reference)
			if code != failure.ExitUsage || !strings.Contains(stderr, test.says) || strings.Contains(stderr, "engine:") {
				t.Errorf("status %d, %s", code, stderr)
			}
		})
	}
}
