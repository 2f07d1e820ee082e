// Package pipeline has the stages that turn a commit into a checked image, and
// their order. The packages below do the work of a stage; this package decides
// which stage waits for which, and records the results.
package pipeline

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/d2"
	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/git"
	"github.com/linuxserver/docker-netbox/pipeline/gotool"
	"github.com/linuxserver/docker-netbox/pipeline/progress"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
	"github.com/linuxserver/docker-netbox/pipeline/secret"
	"github.com/linuxserver/docker-netbox/pipeline/smoke"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

// Project is the project's name, as files and reports call it.
const Project = "docker-netbox"

// Provider makes or finds what an image is built on and booted against. Each
// engine has one.
type Provider interface {
	// Base returns the base image for the platforms, and for the one that builds
	// natively. What does not depend on the platform is built once when all
	// builds start from the same base.
	Base(ctx context.Context, platforms []v1.Platform, log io.Writer) (engine.Base, error)
	// Sidecars returns the services an image is booted against.
	Sidecars(ctx context.Context, log io.Writer) (Sidecars, error)
	// Browser returns a headless Chromium, debugged on port 9222.
	Browser(ctx context.Context, log io.Writer) (engine.Container, error)
	// Native is the platform that runs without emulation, the only one.
	Native() v1.Platform
	// Program is the architecture of the programs that are put into a
	// container of the platform: an emulator may run no other but its own.
	Program(platform v1.Platform) (goarch string)
}

// Sidecars are containers that lack nothing but their secrets.
type Sidecars struct {
	Postgres, Redis engine.Container
}

// Settings are those with which NetBox finds the services.
func (s Sidecars) Settings() (env, secrets map[string]string) {
	return map[string]string{
			"TZ":         "Etc/UTC",
			"DB_HOST":    s.Postgres.Name,
			"DB_NAME":    s.Postgres.Env["POSTGRES_DB"],
			"DB_USER":    s.Postgres.Env["POSTGRES_USER"],
			"REDIS_HOST": s.Redis.Name,
		}, map[string]string{
			"DB_PASSWORD":    s.Postgres.Secrets["POSTGRES_PASSWORD"],
			"REDIS_PASSWORD": s.Redis.Secrets["REDIS_PASSWORD"],
		}
}

// Options say what is to be done.
type Options struct {
	Repo      string        // the repository's directory
	Output    string        // directory that all files go to
	Platforms []v1.Platform // what to work on
	BaseName  string        // what --base said
	Version   string        // what the image calls itself; empty for the NetBox release and the commit
	Timeout   time.Duration // limit for one boot
	Versions  *versions.Versions
	Source    git.Checkout
	Syft      gotool.Module   // that pins syft
	D2        d2.Tool         // draws the init graph
	Compile   gotool.Compiler // of the probe; nil is this machine's go command
	// Before finds out what the published images hold, nil when there are none;
	// without it nothing is compared.
	Before func(context.Context) (*sbom.Before, error)
	Attest Attesting
	Mask   *secret.Mask // learns every secret that a stage makes
	Now    func() time.Time
}

// Pipeline runs stages, shows them as they run and collects what they find.
type Pipeline struct {
	Options
	stages
	engine   engine.Engine
	provider Provider

	prepare  func() error
	base     func() (engine.Base, error)
	sidecars func() (Sidecars, error)
	syft     func() (string, error) // where the program is
	browser  func() (engine.Container, error)
	probe    map[string]func() ([]byte, error) // by architecture of the programs
}

// New makes a pipeline. Stages that several platforms need run once, when the
// first one asks for them; ctx ends them.
func New(ctx context.Context, opts Options, eng engine.Engine, provider Provider, display *progress.Display) *Pipeline {
	if opts.Compile == nil {
		opts.Compile = gotool.Compile
	}
	p := &Pipeline{Options: opts, engine: eng, provider: provider}
	p.stages = stages{display, opts.Now, report.NewBuilder(report.Report{
		Project: Project,
		Commit:  opts.Source.Revision(),
		Version: opts.Versions.NetBox.Release,
		Base:    report.Base{Name: opts.BaseName},
		Engine:  eng.Name(),
		Started: opts.Now(),
	}, opts.Now)}
	p.prepare = sync.OnceValue(func() error {
		return p.stage(ctx, report.Key{Stage: "prerequisites"}, eng.Setup)
	})
	p.base = once(ctx, p, "base", func(ctx context.Context, log io.Writer) (engine.Base, error) {
		return provider.Base(ctx, opts.Platforms, log)
	})
	p.sidecars = once(ctx, p, "sidecars", provider.Sidecars)
	p.browser = once(ctx, p, "browser", provider.Browser)
	p.syft = once(ctx, p, "syft", func(ctx context.Context, log io.Writer) (string, error) {
		return sbom.Syft(ctx, log, opts.Syft)
	})
	p.probe = map[string]func() ([]byte, error){}
	for _, platform := range opts.Platforms {
		goarch := provider.Program(platform)
		p.probe[goarch] = sync.OnceValues(func() ([]byte, error) { return gotool.Bytes(ctx, opts.Compile, smoke.Probe(opts.Repo, goarch)) })
	}
	return p
}

// once is a stage that makes something for all who ask for it.
func once[T any](ctx context.Context, p *Pipeline, name string, do func(context.Context, io.Writer) (T, error)) func() (T, error) {
	return sync.OnceValues(func() (made T, err error) {
		err = p.stage(ctx, report.Key{Stage: name}, func(ctx context.Context, log io.Writer) error {
			made, err = do(ctx, log)
			return err
		})
		return made, err
	})
}

// eachPlatform runs do for all platforms at once. A platform that fails does
// not end the others: who reads a red check wants to see all that is wrong.
func (p *Pipeline) eachPlatform(do func(i int, platform v1.Platform) error) error {
	errs := make([]error, len(p.Platforms))
	var wg sync.WaitGroup
	for i, platform := range p.Platforms {
		wg.Go(func() { errs[i] = do(i, platform) })
	}
	wg.Wait()
	return join(errs...)
}

// join is errors.Join, flat and without repetitions: platforms that wait for
// the same stage fail with the same error.
func join(errs ...error) error {
	seen := map[string]bool{}
	return errors.Join(slices.DeleteFunc(failure.All(errors.Join(errs...)), func(err error) bool {
		again := seen[err.Error()]
		seen[err.Error()] = true
		return again
	})...)
}
