package release

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/git"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

// Taken is a version that names an image or a commit already.
type Taken struct {
	Version string
	Where   string // the image, or the git tag
	Digest  string // of the image
	Commit  string // "" when the image names none
}

func (t Taken) String() string {
	text := t.Where
	if t.Digest != "" {
		text += " is " + t.Digest
	}
	if t.Commit != "" {
		text += " of commit " + t.Commit
	}
	return text
}

// FindTaken looks whether the version of a plan is free: for a git tag of repo at
// another commit, and in every repository of images that has to have it. It is
// nil when nothing has it. A registry that cannot say so decides nothing, and log
// has why: publish asks again before it sends anything.
func FindTaken(ctx context.Context, from registry.Source, repo string, plan Plan, log io.Writer) (*Taken, error) {
	for _, repository := range plan.Repositories {
		if slices.ContainsFunc(plan.Optional, func(host string) bool { return strings.HasPrefix(repository, host+"/") }) {
			continue // it may be out of reach, and then it is said when it is published to
		}
		reference := repository + ":" + plan.Version
		digest, commit, err := from.Tagged(ctx, reference)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			fmt.Fprintf(log, "warning: look whether %s is free: %v\n", plan.Version, err)
		}
		if digest != "" {
			return &Taken{plan.Version, reference, digest, commit}, nil
		}
	}
	commit, err := git.TagCommit(ctx, repo, plan.Version)
	if err != nil || commit == "" || commit == plan.Commit {
		return nil, err
	}
	return &Taken{plan.Version, "git tag " + plan.Version, "", commit}, nil
}
