package rehearsal

import (
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/tests/testrepo"
)

func TestThePullRequestsThatAreLinted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := run{workflow: "pull-request", event: "pull_request", ref: "refs/pull/7/merge", job: "lint"}
	merge := func() {
		testrepo.Sh(t, w.state, `git --git-dir origin.git update-ref refs/pull/7/merge "$1"`, w.sha(t, "change"))
	}

	w.commit(t, "change", "pipeline/rehearsed.go", "package pipeline\n")
	merge()
	w.run(t, good).want(t, map[string]string{"lint": "success"})

	text := w.onBranch(t, "change", "README.md")
	w.commit(t, "change", "README.md", strings.Replace(text, "NetBox", "NotBox", 1))
	merge()
	res := w.run(t, good)
	res.want(t, map[string]string{"lint": "failure"})
	res.says(t, "lint", "go run ./ci readme")
}
