package rehearsal

import (
	"slices"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/tests/testrepo"
)

// locking returns a script that sets the epoch to day. It replaces the package
// locking, which needs PyPI.
func locking(day string) map[string]string {
	return map[string]string{"propose/Write the pins and the locked lists": `if [ -n "$PIN" ]; then
  sed -i "s/^  release: .*/  release: $PIN/; s/^epoch: .*/epoch: \"` + day + `\"/" versions.yml
  { echo "branch=netbox-$PIN"; echo "title=NetBox $PIN"; } >>"$GITHUB_OUTPUT"
else
  echo "# newer" >>build/requirements.txt
  { echo branch=packages; echo "title=Newer Python packages"; } >>"$GITHUB_OUTPUT"
fi`}
}

// onBranch returns the text of a file on a branch of the repository.
func (w *world) onBranch(t *testing.T, branch, file string) string {
	t.Helper()
	return testrepo.Sh(t, w.state, `git --git-dir origin.git show "$1:$2"`, branch, file)
}

func TestANewerNetBoxIsProposedOnceAndWhatAMaintainerWroteStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.newest(t, "99.1.0")
	const branch = "netbox-99.1.0"
	hourly := run{workflow: "upstream", event: "schedule", schedule: "17 * * * *", scripts: locking("2099-01-01")}
	all := map[string]string{"look": "success", "start": "success", "propose": "success"}

	w.run(t, hourly).want(t, all)
	first := w.sha(t, branch)
	calls := w.ghCalls(t)
	if !slices.Contains(calls, "workflow run pull-request.yml --ref "+branch) || !slices.ContainsFunc(calls, func(c string) bool {
		return strings.HasPrefix(c, "pr create --head "+branch+" --base main --title NetBox 99.1.0")
	}) {
		t.Errorf("no pull request is opened, or its checks are not started: %q", calls)
	}
	if text := w.onBranch(t, branch, "versions.yml"); !strings.Contains(text, "release: 99.1.0\n") {
		t.Errorf("%s pins\n%s", branch, text)
	}

	hourly.scripts = locking("2099-01-02") // the next day
	w.run(t, hourly).want(t, all)
	if calls := w.ghCalls(t); w.sha(t, branch) != first || slices.ContainsFunc(calls, func(c string) bool { return strings.Contains(c, "pull-request.yml") }) {
		t.Errorf("the day after, the proposal has moved to %s, or its checks run again: %q", w.sha(t, branch), calls)
	}

	mended := w.commit(t, branch, "Dockerfile", "# mended by hand\n")
	res := w.run(t, hourly)
	res.want(t, all)
	if w.sha(t, branch) != mended {
		t.Errorf("what a maintainer wrote is at %s, the branch at %s", mended, w.sha(t, branch))
	}
	if !slices.ContainsFunc(res.notices, func(n string) bool { return strings.Contains(n, "has commits of maintainer") }) {
		t.Errorf("notices: %q", res.notices)
	}
}

func TestUpstreamIsPausedByItsVariable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	res := w.run(t, run{workflow: "upstream", event: "schedule", schedule: "17 * * * *", vars: map[string]string{"UPSTREAM_PAUSED": "true"}})
	res.want(t, map[string]string{"paused": "success"})
	if calls := w.ghCalls(t); len(calls) != 0 || len(res.notices) != 1 || !strings.Contains(res.notices[0], "UPSTREAM_PAUSED is true") {
		t.Errorf("notices %q, calls of gh %q", res.notices, calls)
	}
}

func TestChangedPackagesAreReleasedAndProposedOnceAWeek(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	weekly := run{workflow: "upstream", event: "schedule", schedule: "43 4 * * 1", scripts: locking("")}
	const rebuild = "packages/Build the published image again"

	weekly.scripts[rebuild] = `echo "why=packages: openssl has changed" >>"$GITHUB_OUTPUT"`
	w.run(t, weekly).want(t, map[string]string{"pins": "success", "packages": "success", "start": "success", "propose": "success"})
	w.starts(t, "-f force=true -f reason=packages: openssl has changed")
	if text := w.onBranch(t, "packages", "build/requirements.txt"); !strings.Contains(text, "# newer") {
		t.Error("the newer packages are not proposed")
	}

	weekly.scripts[rebuild] = `echo "skip=nothing has changed" >>"$GITHUB_OUTPUT"`
	w.run(t, weekly).want(t, map[string]string{"pins": "success", "packages": "success", "propose": "success"})
	w.starts(t, "")

	weekly.scripts[rebuild] = `echo "the mirror is down" && exit 1`
	w.run(t, weekly).want(t, map[string]string{"pins": "success", "packages": "failure"})
	w.starts(t, "")
}
