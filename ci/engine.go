package main

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline"
	baseimage "github.com/linuxserver/docker-netbox/pipeline/base"
	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/dagger"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/gotool"
	"github.com/linuxserver/docker-netbox/pipeline/provider"
	setup "github.com/linuxserver/docker-netbox/pipeline/session"
)

// Names of the engines, as --engine accepts them.
const (
	localEngine  = "local"
	daggerEngine = "dagger"
)

// chooseEngine returns the name of the engine to use, and the reason.
func (e env) chooseEngine() (name, why string, err error) {
	switch f := e.flags.engine; f {
	case localEngine, daggerEngine:
		return f, "--engine says so", nil
	case "":
	default:
		return "", "", failure.Usagef("read --engine %q: there is no such engine: pass %s or %s", f, localEngine, daggerEngine)
	}
	why, present := dagger.Present(e.getenv, e.lookPath)
	if present {
		return daggerEngine, why, nil
	}
	return localEngine, why, nil
}

// lookPath finds a program on the PATH that getenv returns.
func (e env) lookPath(program string) (string, error) {
	for _, dir := range filepath.SplitList(e.getenv("PATH")) {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil && filepath.IsAbs(path) {
			return path, nil
		}
	}
	return "", &exec.Error{Name: program, Err: exec.ErrNotFound}
}

// base returns the base image of --base or the engine's default; "" means the
// published base.
func (e env) base(engine string) string {
	if engine == localEngine {
		return cmp.Or(e.flags.base, provider.LocalBase)
	}
	return e.flags.base
}

// newEngine returns the engine with the given name, and its provider.
func (e env) newEngine(ctx context.Context, name string, opts pipeline.Options) (engine.Engine, pipeline.Provider, error) {
	f, pins := e.flags, opts.Versions
	builder := baseimage.Builder{Source: f.repo, Cache: filepath.Join(f.cache, "base"), Suite: pins.Base.Local.Suite, CPU: pins.CPUs(), Wait: f.wait}
	if name == daggerEngine {
		eng, err := dagger.New(ctx, dagger.Options{Repo: f.repo, QEMUCPU: pins.CPUs(), Environ: os.Environ(), Connect: dagger.Dial})
		if err != nil {
			return nil, nil, err
		}
		return eng, provider.Dagger{Engine: eng, Repo: f.repo, Services: pins.Sidecars, Builder: builder, BaseName: opts.BaseName}, nil
	}
	eng, err := local.New(local.Options{
		Cache:     filepath.Join(f.cache, "engine"),
		Tools:     filepath.Join(f.repo, "tools"),
		Platforms: opts.Platforms,
		QEMUCPU:   pins.CPUs(),
		LockWait:  f.wait,
		Environ:   os.Environ(),
		Log:       e.err,
	})
	if err != nil {
		return nil, nil, err
	}
	restart := func() error { return unix.Exec("/proc/self/exe", os.Args, os.Environ()) }
	if err := eng.Prepare(ctx, e.err, restart); err != nil {
		return nil, nil, err
	}
	return eng, provider.Local{Builder: builder, BaseName: opts.BaseName}, nil
}

// tool returns the module in a directory of tools/. Its program is built when it is
// first needed.
func (e env) tool(name string) gotool.Module {
	return setup.Tool(e.flags.repo, e.flags.cache, name, os.Environ(), e.flags.wait)
}
