package source_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/source"
)

func repository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("one\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "file"}, {"commit", "-q", "-m", "one"}} {
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	return dir
}

func TestGitTellsTheCommitAndItsTime(t *testing.T) {
	s, err := source.Git(t.Context(), repository(t))
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC); !s.Time.Equal(want) {
		t.Errorf("time %s, want %s", s.Time, want)
	}
	if len(s.Commit) != 40 || s.Dirty || s.Revision() != s.Commit || s.Short() != s.Commit[:7] {
		t.Errorf("got %+v", s)
	}
}

func TestAChangedTreeDoesNotClaimToBeTheCommit(t *testing.T) {
	dir := repository(t)
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("two\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := source.Git(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(s.Revision(), "-dirty") || !strings.HasSuffix(s.Short(), "-dirty") {
		t.Errorf("revision %s, short %s", s.Revision(), s.Short())
	}
}

func TestOutsideARepositoryIsWrongUse(t *testing.T) {
	_, err := source.Git(t.Context(), t.TempDir())
	if failure.ExitCode(err) != failure.ExitUsage || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}
