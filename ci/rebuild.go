package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/attest"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/proc"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// rebuild builds the published image of the first platform again, from the working
// tree, and compares the two.
func (e env) rebuild(ctx context.Context, registries registry.Source, published release.Published) (*release.Rebuilt, error) {
	platforms, err := platform.Parse(e.flags.platforms)
	if err != nil {
		return nil, err
	}
	at, err := published.Open(ctx, registries)
	if err != nil {
		return nil, err
	}
	flags := *e.flags
	flags.platforms = []string{platforms[0].String()}
	e.flags = &flags
	images, err := e.rebuildImages(ctx, at, published.Version, published.Commit, false)
	if err != nil {
		return nil, err
	}
	return images[0], nil
}

// rebuildImages builds the images of an index again, under the same version, and compares
// their layers. If those differ, it compares their packages and, if withFiles is set,
// their files. listedAt is the commit whose package_versions.txt replaces a missing
// package list of a published image, or "".
func (e env) rebuildImages(ctx context.Context, at registry.Opened, version, listedAt string, withFiles bool) (list []*release.Rebuilt, err error) {
	err = e.withPlan(release.Plan{Version: version}).session(ctx, func(s *session) error {
		for _, platform := range s.pipeline.Platforms {
			built, err := s.pipeline.Build(ctx, platform)
			if err != nil {
				return s.finish(err, "")
			}
			rebuilt, err := release.CompareImages(ctx, platform, at.Index, built.Image, withFiles)
			if err != nil {
				return err
			}
			list = append(list, rebuilt)
			if len(rebuilt.Differs) == 0 || rebuilt.Was == (v1.Hash{}) {
				continue
			}
			before, err := release.PackagesOf(ctx, at, rebuilt.Platform, rebuilt.Was, e.flags.repo, listedAt)
			if err != nil {
				return err
			}
			if before == nil {
				continue
			}
			now, err := s.pipeline.PackagesOf(ctx, built)
			if err != nil {
				return err
			}
			rebuilt.Packages = sbom.Packages(rebuilt.Platform, before, now)
		}
		return nil
	})
	return list, err
}

// verifyRebuild builds a published index again, from a clean checkout of its commit,
// and adds the outcome to result.
func (e env) verifyRebuild(ctx context.Context, at registry.Opened, result *attest.Result) error {
	if at.Index == nil {
		return failure.Usagef("verify --rebuild %s: it is one image: pass the tag or the digest of the index", result.Reference)
	}
	manifest, err := at.Index.IndexManifest()
	if err != nil {
		return err
	}
	about := manifest.Annotations
	commit := about[registry.RevisionLabel]
	if commit == "" || strings.HasSuffix(commit, "-dirty") {
		return failure.Usagef("verify --rebuild %s: it says that it was built from commit %q, which cannot be checked out: verify it without --rebuild", result.Reference, commit)
	}
	dir, err := os.MkdirTemp("", pipeline.Project+"-checkout-")
	if err != nil {
		return fmt.Errorf("verify --rebuild: make room for a checkout: %w", err)
	}
	defer os.RemoveAll(dir)
	flags := *e.flags
	if flags.repo, err = checkout(ctx, e.flags.repo, commit, dir); err != nil {
		return err
	}
	if flags.base == "" {
		flags.base = release.Base{Name: about[registry.BaseNameLabel], Digest: about[registry.BaseDigestLabel]}.Reference()
	}
	e.flags = &flags
	images, err := e.rebuildImages(ctx, at, about[registry.VersionLabel], "", true)
	if err != nil {
		return err
	}
	for _, r := range images {
		result.Rebuilt(r.Platform, commit, r.Same(), r.Explained(), r.String())
	}
	return nil
}

// checkout checks out a commit of a repository in a new clone under dir, and returns
// the clone's path.
func checkout(ctx context.Context, repo, commit, dir string) (string, error) {
	repo, err := filepath.Abs(repo)
	if err != nil {
		return "", err
	}
	tree := filepath.Join(dir, "docker-netbox")
	for _, args := range [][]string{
		{"clone", "--quiet", "--shared", "--no-checkout", repo, tree},
		{"-C", tree, "-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", commit},
	} {
		err := proc.Run(ctx, exec.CommandContext(ctx, "git", args...))
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if err != nil {
			return "", failure.Usagef("verify --rebuild: check out commit %s of %s: %w: run \"git fetch --unshallow --tags\" or pass --repo", commit, repo, err)
		}
	}
	return tree, nil
}
