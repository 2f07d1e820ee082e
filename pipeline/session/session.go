// Package session sets up a run of the pipeline and cleans up after it, for
// the command line and for the Dagger module alike.
package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/d2"
	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/git"
	"github.com/linuxserver/docker-netbox/pipeline/gotool"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/progress"
	"github.com/linuxserver/docker-netbox/pipeline/provider"
	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
	"github.com/linuxserver/docker-netbox/pipeline/secret"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

// Options say what a run is of and where it takes place.
type Options struct {
	Repo      string   // the repository's directory
	Output    string   // directory that all files go to
	Platforms []string // as people write them
	Base      string   // base image; empty for that of DefaultBase
	Release   string   // NetBox release; empty for the pinned one
	Timeout   time.Duration

	// Plan is what the images are made for, nil when nothing is planned. Before
	// finds out what its published images hold; it is asked for a whole plan only.
	Plan   *release.Plan
	Before func(context.Context) (*sbom.Before, error)

	// DefaultBase names the base image of a run whose Base is empty.
	DefaultBase func(*versions.Versions) string
	// Lock keeps other runs away; nil when there are none.
	Lock func(context.Context) (unlock func(), err error)
	// Engine makes the engine and the provider that goes with it.
	Engine func(context.Context, Facts) (Engine, pipeline.Provider, error)
	// Display shows progress until done is called.
	Display func(context.Context) (display *progress.Display, done func())
	// Tool is the directory of tools/ of a name.
	Tool func(name string) gotool.Module
	// Compile compiles what is put into containers; nil is this machine's go
	// command. It is not called before Engine.
	Compile gotool.Compiler
	Attest  pipeline.Attesting
	Mask    *secret.Mask
	Log     io.Writer // receives what is to be known before anything starts; may be nil
}

// Facts are what an engine is made for.
type Facts struct {
	Platforms []v1.Platform
	Versions  *versions.Versions
	Base      string            // "local", "oci:DIR" or an image reference
	CPU       map[string]string // QEMU_CPU by foreign architecture
}

// Engine is an engine with an end.
type Engine interface {
	engine.Engine
	Close() error
}

// Run sets a pipeline up, hands it to do, and takes everything down again.
func Run(ctx context.Context, opts Options, do func(*pipeline.Pipeline) error) (err error) {
	platforms, err := platform.Parse(opts.Platforms)
	if err != nil {
		return err
	}
	pins, err := versions.Load(opts.Repo)
	if err != nil {
		return err
	}
	pins.NetBox.Release = cmp.Or(opts.Release, pins.NetBox.Release)
	base := cmp.Or(opts.Base, opts.DefaultBase(pins))
	version, whole := "", false
	if plan := opts.Plan; plan != nil {
		version, whole = plan.Version, plan.Commit != ""
		base = cmp.Or(plan.Base.Reference(), base)
	}
	before := opts.Before
	if !whole {
		before = nil
	}
	if err := provider.CheckBase(base); err != nil {
		return err
	}
	if err := git.CheckLineEnds(opts.Repo); err != nil {
		return err
	}
	commit, err := commit(ctx, opts, pins)
	if err != nil {
		return err
	}
	if whole {
		if err := opts.Plan.Ready(commit, pins.NetBox.Release); err != nil {
			return err
		}
	}
	if opts.Lock != nil {
		unlock, err := opts.Lock(ctx)
		if err != nil {
			return err
		}
		defer unlock()
	}
	facts := Facts{Platforms: platforms, Versions: pins, Base: base, CPU: map[string]string{}}
	for arch, emulation := range pins.Emulation {
		facts.CPU[arch] = emulation.CPU
	}
	eng, in, err := opts.Engine(ctx, facts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, eng.Close()) }()
	display, done := opts.Display(ctx)
	defer done()
	return do(pipeline.New(ctx, pipeline.Options{
		Repo:      opts.Repo,
		Output:    opts.Output,
		Platforms: platforms,
		BaseName:  base,
		Version:   version,
		Timeout:   opts.Timeout,
		Versions:  pins,
		Source:    commit,
		Syft:      opts.Tool("syft"),
		Attest:    opts.Attest,
		Before:    before,
		D2:        d2.Tool{Module: opts.Tool("d2")},
		Mask:      opts.Mask,
		Compile:   opts.Compile,
		Now:       time.Now,
	}, eng, in, display))
}

// commit is what the images are made from. Only what is planned needs history.
func commit(ctx context.Context, opts Options, pins *versions.Versions) (git.Checkout, error) {
	if opts.Plan != nil {
		return git.Head(ctx, opts.Repo)
	}
	commit, err := git.Tree(ctx, opts.Repo, pins.Stamp())
	if commit.Commit == git.Unknown && opts.Log != nil {
		fmt.Fprintf(opts.Log, "source: %s is not a git clone: the image gets the commit %q; only a release needs a clone\n", opts.Repo, git.Unknown)
	}
	return commit, err
}

// Tools are the directories of tools/ in a repository, whose programs are kept
// under cache.
func Tools(repo, cache string, wait time.Duration) func(name string) gotool.Module {
	return func(name string) gotool.Module {
		return gotool.Module{Dir: filepath.Join(repo, "tools", name), Cache: filepath.Join(cache, "tools"), Environ: os.Environ(), Wait: wait}
	}
}
