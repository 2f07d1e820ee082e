package main

import (
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/release"
)

// publish creates the images of a plan and pushes them by digest.
func (p *project) publish(plan release.Plan, file string) {
	p.t.Helper()
	for _, platform := range []v1.Platform{amd64, arm64} {
		output, _ := p.prove(platform, labels(plan), nil)
		p.good("publish", "--plan", file, "--by-digest", "--output", output)
	}
}

func TestARebuildOfANetBoxMovesTheTagsThatNameItAndLeavesTheNumberedOne(t *testing.T) {
	p := newProject(t)
	proven := filepath.Join(p.dir, "proven")
	plan, file := p.plan("--published", p.repositories[0]+":latest")
	p.publish(plan, file)
	first := strings.TrimSpace(p.good("merge", "--plan", file, "--reports", proven))

	p.write("root/etc/x", "changed\n")
	p.commitAll("two")
	plan, file = p.plan("--published", p.repositories[0]+":latest")
	p.publish(plan, file)
	second := strings.TrimSpace(p.good("merge", "--plan", file, "--reports", proven))
	want := map[string]string{"v4.7.3-ls1": first, "v4.7.3-ls2": second, "version-v4.7.3": second, "4.7.3": second, "latest": second}
	check := func() {
		t.Helper()
		for _, repository := range p.repositories {
			for tag, digest := range want {
				if got := p.digest(repository + ":" + tag); got != digest {
					t.Errorf("%s:%s is %s, want %s", repository, tag, got, digest)
				}
			}
		}
	}
	check()

	// Other images have a number that is already in use.
	p.publish(plan, file)
	_, stderr, code := p.ci("merge", "--plan", file, "--reports", proven)
	if code != 1 || !strings.Contains(stderr, "the tag amd64-v4.7.3-ls2 is sha256:") || !strings.Contains(stderr, " of commit "+p.commit+" and names that image for ever") || !strings.Contains(stderr, "--move") {
		t.Errorf("status %d: %s", code, stderr)
	}
	check()
	third := strings.TrimSpace(p.good("merge", "--plan", file, "--reports", proven, "--move"))
	for _, tag := range []string{"v4.7.3-ls2", "version-v4.7.3", "4.7.3", "latest"} {
		want[tag] = third
	}
	check()
}
