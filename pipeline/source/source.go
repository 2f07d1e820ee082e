// Package source tells which commit a working tree stands at.
package source

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// Source is a commit, and whether the tree differs from it.
type Source struct {
	Commit string    // full object name
	Time   time.Time // when it was committed, UTC
	Dirty  bool      // a file differs from it or is new
}

// Revision is the commit as a label gives it: an image made from a changed
// tree must not claim to be the commit's.
func (s Source) Revision() string {
	if s.Dirty {
		return s.Commit + "-dirty"
	}
	return s.Commit
}

// Short is the revision with seven characters of the commit.
func (s Source) Short() string {
	short := s
	short.Commit = s.Commit[:min(7, len(s.Commit))]
	return short.Revision()
}

// Git asks git about the working tree at dir. The error of a directory that
// is not a work tree, or has no commit, is a failure.Usage.
func Git(ctx context.Context, dir string) (Source, error) {
	out, err := git(ctx, dir, "log", "-1", "--format=%H %ct")
	if err != nil {
		return Source{}, err
	}
	commit, seconds, _ := strings.Cut(strings.TrimSpace(out), " ")
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return Source{}, fmt.Errorf("read the last commit of %s: git printed %q instead of a commit and its time", dir, out)
	}
	status, err := git(ctx, dir, "status", "--porcelain")
	if err != nil {
		return Source{}, err
	}
	return Source{Commit: commit, Time: time.Unix(unix, 0).UTC(), Dirty: strings.TrimSpace(status) != ""}, nil
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		reason := err.Error()
		if line, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n"); line != "" {
			reason = line
		}
		return "", failure.Usagef("ask git %s about %s: %s: run it in a clone of the repository, with git installed", args[0], dir, reason)
	}
	return string(out), nil
}
