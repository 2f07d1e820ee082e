package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/tests/testrepo"
)

func TestAnImageThatCannotBeRebuiltIsRefusedBeforeTheBuild(t *testing.T) {
	p := newProject(t)
	plan, file := p.plan("--published", "none")
	p.proveWithPackages(plan, file)
	p.good("merge", "--plan", file, "--reports", filepath.Join(p.dir, "proven"))
	other := filepath.Join(p.dir, "other") // a repository without the commit
	if err := os.Mkdir(other, 0o755); err != nil {
		t.Fatal(err)
	}
	testrepo.Commit(t, other)
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
