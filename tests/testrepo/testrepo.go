// Package testrepo creates repositories for tests.
package testrepo

import (
	"os/exec"
	"strings"
	"testing"
)

// Sh runs a shell script in a directory and returns what it prints.
func Sh(t testing.TB, dir, script string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-euc", script, "sh"}, args...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// Copy copies the files of the repository at root, but no ignored ones.
func Copy(t testing.TB, root, to string) {
	t.Helper()
	Sh(t, root, `mkdir -p "$1" && git ls-files -z --cached --others --exclude-standard |
		xargs -0 sh -c 'for f; do { [ ! -e "$f" ] && [ ! -L "$f" ]; } || cp -a --parents "$f" "$0"; done' "$1"`, to)
}

// Commit turns a directory into a repository with one commit of all its files and
// returns the commit.
func Commit(t testing.TB, dir string) string {
	t.Helper()
	return Sh(t, dir, `git init -q -b main && git config user.name maintainer && git config user.email maintainer@example.com &&
		git add -A && git commit -q --allow-empty -m one && git rev-parse HEAD`)
}
