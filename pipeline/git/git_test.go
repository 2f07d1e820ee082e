package git_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/git"
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

func TestHeadReturnsTheCommitAndItsTime(t *testing.T) {
	s, err := git.Head(t.Context(), repository(t))
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
	s, err := git.Head(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(s.Revision(), "-dirty") || !strings.HasSuffix(s.Short(), "-dirty") {
		t.Errorf("revision %s, short %s", s.Revision(), s.Short())
	}
}

// Dagger copies a clone without its index, because every "git status" rewrites it.
func TestACopyWithoutItsIndexIsTheCommit(t *testing.T) {
	dir := repository(t)
	if err := os.Remove(filepath.Join(dir, ".git", "index")); err != nil {
		t.Fatal(err)
	}
	if err := git.Index(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if s, err := git.Head(t.Context(), dir); err != nil || s.Dirty {
		t.Errorf("got %+v, %v", s, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := git.Index(t.Context(), dir); err != nil { // there is one now
		t.Error(err)
	}
	if s, err := git.Head(t.Context(), dir); err != nil || !s.Dirty {
		t.Errorf("with a new file: %+v, %v", s, err)
	}
	if err := git.Index(t.Context(), t.TempDir()); err != nil {
		t.Errorf("a directory without history: %v", err)
	}
}

func TestOutsideARepositoryIsWrongUse(t *testing.T) {
	_, err := git.Head(t.Context(), t.TempDir())
	if failure.ExitCode(err) != failure.ExitUsage || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}

func TestBranchTagsAndChangedPathsAreRead(t *testing.T) {
	dir := repository(t)
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	first, err := git.Head(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	run("checkout", "-q", "-b", "topic")
	run("mv", "file", "a name with blanks")
	run("commit", "-q", "-m", "two")
	run("tag", "v4.7.3-ls1")
	run("tag", "-a", "-m", "annotated", "other")

	branch, err := git.Branch(t.Context(), dir)
	if err != nil || branch != "topic" {
		t.Errorf("branch %q, %v", branch, err)
	}
	tags, err := git.Tags(t.Context(), dir)
	if err != nil || strings.Join(tags, " ") != "other v4.7.3-ls1" {
		t.Errorf("tags %q, %v", tags, err)
	}
	changed, known, err := git.Changed(t.Context(), dir, first.Commit)
	if err != nil || !known || strings.Join(changed, "|") != "a name with blanks|file" {
		t.Errorf("changed %q, %v, %v", changed, known, err)
	}
	for _, since := range []string{strings.Repeat("0", 40), "", "HEAD", "--output=/nowhere", first.Commit + "-dirty"} {
		if changed, known, err := git.Changed(t.Context(), dir, since); known || err != nil || changed != nil {
			t.Errorf("since %q: %q, %v, %v", since, changed, known, err)
		}
	}
	run("checkout", "-q", "--detach")
	if branch, err := git.Branch(t.Context(), dir); err != nil || branch != "" {
		t.Errorf("detached: %q, %v", branch, err)
	}
}

func TestCommitsAndFilesOfThePastAreRead(t *testing.T) {
	dir := repository(t)
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	first := run("rev-parse", "HEAD")
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("two\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run("commit", "-q", "-a", "-m", "two: a subject\n\nand a body")
	run("checkout", "-q", "-b", "side", first)
	run("commit", "-q", "--allow-empty", "-m", "aside")
	side := run("rev-parse", "HEAD")
	run("checkout", "-q", "-")
	run("merge", "-q", "--no-ff", "-m", "a merge", "side")
	list, known, err := git.Commits(t.Context(), dir, first)
	if err != nil || !known || len(list) != 2 {
		t.Fatalf("since the first: %v, %v, %v", list, known, err)
	}
	var subjects []string
	for _, c := range list {
		subjects = append(subjects, c.Subject)
	}
	if got := strings.Join(subjects, "; "); got != "two: a subject; aside" && got != "aside; two: a subject" {
		t.Errorf("subjects %q", got)
	}
	if list, known, err := git.Commits(t.Context(), dir, run("rev-parse", "HEAD")); err != nil || !known || len(list) != 0 {
		t.Errorf("since this one: %v, %v, %v", list, known, err)
	}
	run("checkout", "-q", first)
	for name, since := range map[string]string{"elsewhere": side, "absent": strings.Repeat("0", 40), "an option": "--all", "nothing": ""} {
		if list, known, err := git.Commits(t.Context(), dir, since); err != nil || known || list != nil {
			t.Errorf("%s: %v, %v, %v", name, list, known, err)
		}
	}
	run("checkout", "-q", "side")
	for _, test := range []struct {
		commit, path, want string
		known              bool
	}{{first, "file", "one\n", true}, {first, "none", "", true}, {strings.Repeat("0", 40), "file", "", false}, {"HEAD", "file", "", false}} {
		text, known, err := git.File(t.Context(), dir, test.commit, test.path)
		if err != nil || known != test.known || string(text) != test.want {
			t.Errorf("%+v: %q, %v, %v", test, text, known, err)
		}
	}
}

func TestAFileIsReadAsItIsInARevision(t *testing.T) {
	dir := repository(t)
	clean, err := git.Head(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("two\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	changed, err := git.Head(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for revision, want := range map[string]string{clean.Revision(): "one\n", changed.Revision(): "two\n"} {
		if got, err := git.Read(t.Context(), dir, revision, "file"); err != nil || string(got) != want {
			t.Errorf("%s: %q (%v), want %q", revision, got, err, want)
		}
	}
	for _, revision := range []string{strings.Repeat("0", 40), "--help", "HEAD"} {
		if _, err := git.Read(t.Context(), dir, revision, "file"); err == nil || !strings.Contains(err.Error(), "fetch the commit") {
			t.Errorf("%s: %v", revision, err)
		}
	}
	for _, revision := range []string{clean.Revision(), changed.Revision()} {
		if _, err := git.Read(t.Context(), dir, revision, "nothing"); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("a file that is not there: %v", err)
		}
	}
}

func TestATreeWithoutHistoryHasAnUnknownCommit(t *testing.T) {
	stamp := time.Date(2025, 8, 9, 0, 0, 0, 0, time.UTC)
	archive := t.TempDir()
	inAnother := filepath.Join(repository(t), "unpacked")
	if err := os.Mkdir(inAnother, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{archive, inAnother} {
		s, err := git.Tree(t.Context(), dir, stamp)
		if err != nil || s.Revision() != "unknown" || s.Short() != "unknown" || !s.Time.Equal(stamp) {
			t.Errorf("%s: %+v, %v", dir, s, err)
		}
	}
	if err := os.WriteFile(filepath.Join(archive, "file"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	if text, err := git.Read(t.Context(), archive, git.Unknown, "file"); string(text) != "text" {
		t.Errorf("read %q, %v", text, err)
	}
	s, err := git.Tree(t.Context(), repository(t), stamp)
	if err != nil || len(s.Commit) != 40 {
		t.Errorf("a repository: %+v, %v", s, err)
	}
	t.Setenv("PATH", t.TempDir())
	if s, err := git.Tree(t.Context(), archive, stamp); err != nil || s.Commit != git.Unknown {
		t.Errorf("without git: %+v, %v", s, err)
	}
}

func TestARepositoryOfAnotherUserGetsTheCommandThatTrustsIt(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root can give files away")
	}
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GIT_CONFIG_SYSTEM", os.DevNull)
	t.Setenv("LANGUAGE", "de")
	dir := repository(t)
	if out, err := exec.Command("chown", "-R", "65534:65534", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, err := git.Tree(t.Context(), dir, time.Time{})
	if failure.ExitCode(err) != failure.ExitUsage || !strings.HasSuffix(err.Error(), "run: git config --global --add safe.directory '"+dir+"'") {
		t.Errorf("got %v", err)
	}
}
