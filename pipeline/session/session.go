// Package session determines the inputs of a run of the pipeline, for the command
// line and for the Dagger module.
package session

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/git"
	"github.com/linuxserver/docker-netbox/pipeline/gotool"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/provider"
	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

// Request holds the inputs that the caller of a run chooses.
type Request struct {
	Platforms []string      // as platform.Parse accepts them
	Base      string        // base image; empty for the published one
	Release   string        // NetBox release; empty for the pinned one
	Plan      *release.Plan // the release that the images are for, nil for none
	Log       io.Writer     // receives warnings
}

// Complete sets the inputs in the options of a run: platforms, pinned versions, base
// image and commit. It fails when they are invalid, before anything is locked or
// started.
func Complete(ctx context.Context, opts *pipeline.Options, req Request) (err error) {
	if opts.Platforms, err = platform.Parse(req.Platforms); err != nil {
		return err
	}
	pins, err := versions.Load(opts.Repo)
	if err != nil {
		return err
	}
	pins.NetBox.Release = cmp.Or(req.Release, pins.NetBox.Release)
	opts.Versions, opts.BaseName = pins, cmp.Or(req.Base, pins.Base.Published)
	if req.Plan != nil {
		opts.Version, opts.BaseName = req.Plan.Version, cmp.Or(req.Plan.Base.Reference(), opts.BaseName)
	}
	if err := provider.CheckBase(opts.BaseName); err != nil {
		return err
	}
	if err := git.CheckLineEnds(opts.Repo); err != nil {
		return err
	}
	if req.Plan == nil { // only a release needs the history
		opts.Source, err = git.Tree(ctx, opts.Repo, pins.Stamp())
		if opts.Source.Commit == git.Unknown {
			fmt.Fprintf(req.Log, "source: %s is not a git clone: the image gets the commit %q; only a release needs a clone\n", opts.Repo, git.Unknown)
		}
		return err
	}
	if opts.Source, err = git.Head(ctx, opts.Repo); err != nil || !req.Plan.IsRelease() {
		return err
	}
	return req.Plan.CheckReady(opts.Source, pins.NetBox.Release)
}

// Tool returns the module in a directory of tools/. Its programs are cached under
// cache.
func Tool(repo, cache, name string, environ []string, wait time.Duration) gotool.Module {
	return gotool.Module{Dir: filepath.Join(repo, "tools", name), Cache: filepath.Join(cache, "tools"), Environ: environ, Wait: wait}
}
