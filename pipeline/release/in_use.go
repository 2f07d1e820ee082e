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

// VersionInUse is a version that is already in use for an image or a commit.
type VersionInUse struct {
	Version string
	Where   string // reference of the image, or the git tag
	Digest  string // of the image
	Commit  string // "" when the image has no label for it
}

func (t VersionInUse) String() string {
	text := t.Where
	if t.Digest != "" {
		text += " is " + t.Digest
	}
	if t.Commit != "" {
		text += " of commit " + t.Commit
	}
	return text
}

// FindVersionInUse returns where the version of a plan is already in use: in an image
// repository that is not optional, or as a git tag of repo at another commit; nil
// when it is free. A registry's error is only logged: publish checks again before it
// pushes anything.
func FindVersionInUse(ctx context.Context, from registry.Source, repo string, plan Plan, log io.Writer) (*VersionInUse, error) {
	for _, repository := range plan.Repositories {
		if slices.ContainsFunc(plan.Optional, func(host string) bool { return strings.HasPrefix(repository, host+"/") }) {
			continue // it may be unreachable, which publish reports
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
			return &VersionInUse{plan.Version, reference, digest, commit}, nil
		}
	}
	commit, err := git.TagCommit(ctx, repo, plan.Version)
	if err != nil || commit == "" || commit == plan.Commit {
		return nil, err
	}
	return &VersionInUse{plan.Version, "git tag " + plan.Version, "", commit}, nil
}
