package dagger

import (
	"cmp"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/engine/dagger"
	"github.com/linuxserver/docker-netbox/tests/testrepo"
)

var limit = flag.Duration("limit", 15*time.Minute, "limit for one command of dagger")

// program returns the path of the dagger command. Without an engine it skips the test.
func program(t *testing.T) string {
	t.Helper()
	why, present := dagger.Present(os.Getenv, exec.LookPath)
	path, err := exec.LookPath(cmp.Or(os.Getenv("_EXPERIMENTAL_DAGGER_CLI_BIN"), "dagger"))
	if present && err != nil {
		why = "there is no dagger command"
	}
	if !present || err != nil {
		t.Skipf("SKIPPED: the module was not used on an engine: %s", why)
	}
	return path
}

// call runs the dagger command in a directory.
func call(t *testing.T, dir string, args ...string) (output string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), *limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t), append([]string{"--progress=plain"}, args...)...)
	cmd.Dir = dir
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// works runs the dagger command, which must succeed.
func works(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := call(t, dir, args...)
	if err != nil {
		t.Fatalf("dagger %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// again matches the line by which dagger shows that a check's result was cached.
var again = regexp.MustCompile(`readmeCheck\S* CACHED`)

func TestTheModuleWorksFromElsewhereAndAsADependency(t *testing.T) {
	program(t)
	repo := filepath.Join(t.TempDir(), "repository")
	testrepo.Copy(t, "../..", repo)
	testrepo.Commit(t, repo)
	works(t, t.TempDir(), "call", "-m", repo, "readme-check")
	testrepo.Sh(t, repo, `touch README.md && git status`)
	if out := works(t, t.TempDir(), "call", "-m", repo, "readme-check"); !again.MatchString(out) {
		t.Errorf("after git status the README is checked once more:\n%s", out)
	}

	tests := filepath.Join(repo, "ci", "dagger", "tests")
	list := works(t, t.TempDir(), "check", "-l", "-m", tests)
	for _, name := range []string{"tests:base", "tests:publish", "tests:readme", "tests:service"} {
		if !strings.Contains(list, name) {
			t.Errorf("the module of tests has no %s:\n%s", name, list)
		}
	}
	works(t, t.TempDir(), "check", "-m", tests, "base", "readme")
	works(t, t.TempDir(), "functions", "-m", filepath.Join(repo, "ci", "dagger", "examples", "go"))
}

// As a toolchain the module gets the repository that installs it.
func TestAsAToolchainTheModuleSaysThatTheRepositoryIsNotItsOwn(t *testing.T) {
	program(t)
	consumer := t.TempDir()
	testrepo.Copy(t, "../..", filepath.Join(consumer, "netbox"))
	config := `{"name": "consumer", "engineVersion": "` + dagger.Version + `", "toolchains": [{"name": "netbox", "source": "netbox"}]}`
	if err := os.WriteFile(filepath.Join(consumer, "dagger.json"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	testrepo.Commit(t, consumer)
	out, err := call(t, consumer, "call", "netbox", "readme-check")
	if err == nil || !strings.Contains(out, "read the repository: it has no versions.yml") || !strings.Contains(out, "install it as a dependency, call it with -m, or pass --source") {
		t.Errorf("%v\n%s", err, out)
	}
}
