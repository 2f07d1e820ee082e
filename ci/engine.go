package main

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline"
	baseimage "github.com/linuxserver/docker-netbox/pipeline/base"
	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/dagger"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/gotool"
	"github.com/linuxserver/docker-netbox/pipeline/inputs"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

// Names of the engines, as --engine takes them.
const (
	localEngine  = "local"
	daggerEngine = "dagger"
)

// chooseEngine tells which engine to use, and why.
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

// lookPath finds a program on the PATH that getenv gives.
func (e env) lookPath(program string) (string, error) {
	for _, dir := range filepath.SplitList(e.getenv("PATH")) {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil && filepath.IsAbs(path) {
			return path, nil
		}
	}
	return "", &exec.Error{Name: program, Err: exec.ErrNotFound}
}

// baseName is what --base says, or what the engine builds on when it says
// nothing.
func (e env) baseName(pins *versions.Versions) (string, error) {
	name, _, err := e.chooseEngine()
	if err != nil {
		return "", err
	}
	byDefault := inputs.LocalBase
	if name == daggerEngine {
		byDefault = pins.Base.Published
	}
	return cmp.Or(e.flags.base, byDefault), nil
}

// closer is an engine with an end.
type closer interface {
	engine.Engine
	Close() error
}

// newEngine makes the engine of a name, and the inputs that go with it.
func (e env) newEngine(ctx context.Context, name, base, cache string, platforms []v1.Platform, pins *versions.Versions) (closer, pipeline.Inputs, error) {
	f := e.flags
	cpu := map[string]string{}
	for arch, emulation := range pins.Emulation {
		cpu[arch] = emulation.CPU
	}
	builder := baseimage.Builder{Source: f.repo, Cache: filepath.Join(cache, "base"), Suite: pins.Base.Local.Suite, CPU: cpu, Wait: f.wait}
	if name == daggerEngine {
		eng, err := dagger.New(ctx, dagger.Options{Repo: f.repo, QEMUCPU: cpu, Environ: os.Environ(), Connect: dagger.Dial})
		if err != nil {
			return nil, nil, err
		}
		return eng, inputs.Dagger{Engine: eng, Repo: f.repo, Services: pins.Sidecars, Builder: builder, BaseName: base, CPU: cpu}, nil
	}
	eng, err := local.New(local.Options{
		Cache:     filepath.Join(cache, "engine"),
		Tools:     filepath.Join(f.repo, "tools"),
		Platforms: platforms,
		QEMUCPU:   cpu,
		LockWait:  f.wait,
		Environ:   os.Environ(),
	})
	if err != nil {
		return nil, nil, err
	}
	return eng, inputs.Local{Engine: eng, Builder: builder, BaseName: base, CPU: cpu}, nil
}

// tool is the module that pins a program that is built when it is first needed.
func (e env) tool(cache, name string) gotool.Module {
	return gotool.Module{Dir: filepath.Join(e.flags.repo, "tools", name), Cache: filepath.Join(cache, "tools"), Environ: os.Environ(), Wait: e.flags.wait}
}
