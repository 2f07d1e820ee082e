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

func TestGitTellsBranchTagsAndWhatHasChanged(t *testing.T) {
	dir := repository(t)
	git := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	first, err := source.Git(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	git("checkout", "-q", "-b", "topic")
	git("mv", "file", "a name with blanks")
	git("commit", "-q", "-m", "two")
	git("tag", "v4.7.3-ls1")
	git("tag", "-a", "-m", "annotated", "other")

	branch, err := source.Branch(t.Context(), dir)
	if err != nil || branch != "topic" {
		t.Errorf("branch %q, %v", branch, err)
	}
	tags, err := source.Tags(t.Context(), dir)
	if err != nil || strings.Join(tags, " ") != "other v4.7.3-ls1" {
		t.Errorf("tags %q, %v", tags, err)
	}
	changed, known, err := source.Changed(t.Context(), dir, first.Commit)
	if err != nil || !known || strings.Join(changed, "|") != "a name with blanks|file" {
		t.Errorf("changed %q, %v, %v", changed, known, err)
	}
	for _, since := range []string{strings.Repeat("0", 40), "", "HEAD", "--output=/nowhere", first.Commit + "-dirty"} {
		if changed, known, err := source.Changed(t.Context(), dir, since); known || err != nil || changed != nil {
			t.Errorf("since %q: %q, %v, %v", since, changed, known, err)
		}
	}
	git("checkout", "-q", "--detach")
	if branch, err := source.Branch(t.Context(), dir); err != nil || branch != "" {
		t.Errorf("detached: %q, %v", branch, err)
	}
}
