// Package git reads the commit, history and files of a working tree with git.
package git

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/linebuf"
)

// Checkout is the commit that is checked out, and the state of the tree.
type Checkout struct {
	Commit string    // full object name
	Time   time.Time // when it was committed, UTC
	Dirty  bool      // a file is changed or untracked
	// Shallow reports whether the clone lacks older commits and their tags.
	Shallow bool
}

// Revision returns the commit for a label, with "-dirty" for a changed tree: an image
// built from it must not claim to be built from the commit.
func (c Checkout) Revision() string {
	if c.Dirty {
		return c.Commit + "-dirty"
	}
	return c.Commit
}

// Short returns the revision with the commit abbreviated to seven characters.
func (c Checkout) Short() string {
	c.Commit = c.Commit[:min(7, len(c.Commit))]
	return c.Revision()
}

// Head returns the checkout at dir. The error is a failure.Usage when dir is not a
// work tree or has no commit.
func Head(ctx context.Context, dir string) (Checkout, error) {
	head, err := git(ctx, dir, "log", "-1", "--format=%H %ct")
	status, statusErr := git(ctx, dir, "status", "--porcelain")
	shallow, shallowErr := git(ctx, dir, "rev-parse", "--is-shallow-repository")
	if err := cmp.Or(err, statusErr, shallowErr); err != nil {
		return Checkout{}, err
	}
	commit, seconds, _ := strings.Cut(strings.TrimSpace(head), " ")
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return Checkout{}, fmt.Errorf("read the last commit of %s: git printed %q instead of a commit and its time", dir, head)
	}
	return Checkout{
		Commit: commit, Time: time.Unix(unix, 0).UTC(), Dirty: strings.TrimSpace(status) != "",
		Shallow: strings.TrimSpace(shallow) == "true",
	}, nil
}

// Unknown is the commit of a tree without history.
const Unknown = "unknown"

// Tree is like Head, but also accepts a tree without a repository of its own, such as
// an unpacked archive: its commit is Unknown, and its time is stamp.
func Tree(ctx context.Context, dir string, stamp time.Time) (Checkout, error) {
	above, err := git(ctx, dir, "rev-parse", "--show-cdup")
	switch {
	case err == nil && strings.TrimSpace(above) == "":
		return Head(ctx, dir)
	case err == nil || errors.Is(err, errNoRepository):
		return Checkout{Commit: Unknown, Time: stamp.UTC()}, nil
	}
	return Checkout{}, err
}

// Index creates the index of a clone that was copied without it. Without an index, git
// reports every file as deleted and untracked.
func Index(ctx context.Context, dir string) error {
	if _, err := os.Stat(filepath.Join(dir, ".git", "HEAD")); err != nil {
		return nil // no clone; in an added work tree, .git is a file
	}
	if _, err := os.Stat(filepath.Join(dir, ".git", "index")); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	_, err := git(ctx, dir, "read-tree", "HEAD")
	return err
}

// errNoRepository is the error for a directory that is no work tree, and for a
// machine without git.
var errNoRepository = errors.New("it is no git repository")

// Branch returns the branch that is checked out, "" when HEAD is detached.
func Branch(ctx context.Context, dir string) (string, error) {
	out, err := git(ctx, dir, "branch", "--show-current")
	return strings.TrimSpace(out), err
}

// Tags returns the tags at the commit that is checked out.
func Tags(ctx context.Context, dir string) ([]string, error) {
	out, err := git(ctx, dir, "tag", "--points-at", "HEAD")
	return strings.Fields(out), err
}

// TagCommit returns the commit of a tag, "" when there is no such tag.
func TagCommit(ctx context.Context, dir, tag string) (string, error) {
	out, err := git(ctx, dir, "for-each-ref", "--format=%(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)", "refs/tags/"+tag)
	return strings.TrimSpace(out), err
}

// Changed returns the paths that differ between the commit since and the one that is
// checked out. known is false when the repository does not have since.
func Changed(ctx context.Context, dir, since string) (paths []string, known bool, err error) {
	if !hasCommit(ctx, dir, since) {
		return nil, false, ctx.Err()
	}
	out, err := git(ctx, dir, "diff", "--name-only", "-z", "--no-renames", since, "HEAD")
	if err != nil {
		return nil, false, err
	}
	return strings.FieldsFunc(out, func(r rune) bool { return r == 0 }), true, nil
}

// Commit is a commit in git log.
type Commit struct {
	Commit  string `json:"commit"`  // full object name
	Subject string `json:"subject"` // first line of its message
}

// maxCommits limits a list of commits.
const maxCommits = 100

// Commits returns the commits after since up to the one that is checked out, newest
// first, without merges, which only repeat the commits that they join. known is false
// when since is not an ancestor of the commit that is checked out.
func Commits(ctx context.Context, dir, since string) (list []Commit, known bool, err error) {
	if !commitName.MatchString(since) {
		return nil, false, nil
	}
	if _, err := git(ctx, dir, "merge-base", "--is-ancestor", since, "HEAD"); err != nil {
		return nil, false, ctx.Err()
	}
	out, err := git(ctx, dir, "log", "--no-merges", fmt.Sprintf("--max-count=%d", maxCommits), "--format=%H %s", since+"..HEAD")
	if err != nil {
		return nil, false, err
	}
	for line := range strings.Lines(out) {
		commit, subject, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		list = append(list, Commit{commit, subject})
	}
	return list, true, nil
}

// File returns the content of a file at a commit, nil when it did not exist. known is
// false when the repository does not have that commit.
func File(ctx context.Context, dir, commit, path string) (text []byte, known bool, err error) {
	if !hasCommit(ctx, dir, commit) {
		return nil, false, ctx.Err()
	}
	found, err := git(ctx, dir, "ls-tree", "--name-only", commit, "--", path)
	if err != nil || found == "" {
		return nil, true, err
	}
	out, err := git(ctx, dir, "show", commit+":"+path)
	return []byte(out), true, err
}

// hasCommit reports whether the repository has a commit.
func hasCommit(ctx context.Context, dir, commit string) bool {
	if !commitName.MatchString(commit) {
		return false
	}
	_, err := git(ctx, dir, "cat-file", "-e", commit+"^{commit}")
	return err == nil
}

// commitName matches a full object name. Nothing else is passed to git, which might
// parse it as an option or a range.
var commitName = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// Read returns the content of a file at a revision, as Checkout.Revision formats it.
// For a changed tree, or one without history, it reads the working tree.
func Read(ctx context.Context, dir, revision, file string) ([]byte, error) {
	if revision == Unknown || strings.HasSuffix(revision, "-dirty") {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return nil, fmt.Errorf("read %s of a changed tree: %w", file, err)
		}
		return text, nil
	}
	text, known, err := File(ctx, dir, revision, file)
	switch {
	case err != nil:
		return nil, err
	case !known:
		return nil, failure.Usagef("read %s of commit %s: the repository at %s does not have it: fetch the commit", file, revision, dir)
	case text == nil:
		return nil, fmt.Errorf("read %s of commit %s: there is no such file", file, revision)
	}
	return text, nil
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C") // its messages are parsed below
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil {
		return string(out), nil
	}
	reason := linebuf.First(stderr.String())
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", failure.Usagef("ask git %s about %s: %w: there is no git on this machine: install it: apt-get install git", args[0], dir, errNoRepository)
	case strings.Contains(reason, "dubious ownership"):
		owned, _ := filepath.Abs(dir)
		return "", failure.Usagef("ask git %s about %s: the directory belongs to another user: run: git config --global --add safe.directory '%s'", args[0], dir, owned)
	case strings.Contains(reason, "not a git repository"):
		return "", failure.Usagef("ask git %s about %s: %w: run it in a clone: git clone %s", args[0], dir, errNoRepository, "https://github.com/linuxserver/docker-netbox")
	case reason == "":
		reason = err.Error()
	}
	return "", failure.Usagef("ask git %s about %s: %s: run it in a clone of the repository, with git installed", args[0], dir, reason)
}
