// Package pipeline runs the stages that turn a commit into a checked image. The
// packages below it do the work of each stage; this package orders the stages and
// records the results.
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

// Project is the project's name in files and reports.
const Project = "docker-netbox"

// Provider provides the base image, the sidecars and the browser. Each engine has
// its own.
type Provider interface {
	// Base returns the base image for the platforms and for the native one. Build
	// stages that do not depend on the platform run once when all builds start from
	// the same base.
	Base(ctx context.Context, platforms []v1.Platform, log io.Writer) (engine.Base, error)
	// Sidecars returns the services an image is booted against.
	Sidecars(ctx context.Context, log io.Writer) (Sidecars, error)
	// Browser returns a headless Chromium whose debugging port is 9222.
	Browser(ctx context.Context, log io.Writer) (engine.Container, error)
	// Native returns the only platform that runs without emulation.
	Native() v1.Platform
	// Program returns the architecture of the programs that are copied into a
	// container of the platform: an emulator may only run its own architecture.
	Program(platform v1.Platform) (goarch string)
}

// Sidecars are the containers of the services that NetBox needs.
type Sidecars struct {
	Postgres, Redis engine.Container
}

// Settings returns the variables with which NetBox reaches the services.
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

// Options configure a pipeline.
type Options struct {
	Repo      string        // the repository's directory
	Output    string        // directory that all files go to
	Platforms []v1.Platform // to work on
	BaseName  string        // base image, as --base names it
	Version   string        // label of the image; empty for the NetBox release and the commit
	Timeout   time.Duration // limit for one boot
	Versions  *versions.Versions
	Source    git.Checkout
	Syft      gotool.Module   // that pins syft
	D2        d2.Tool         // draws the init graph
	Compile   gotool.Compiler // of the probe; nil is this machine's go command
	// Baseline returns the contents of the published images, nil when there are none.
	// Without it nothing is compared.
	Baseline func(context.Context) (*sbom.Baseline, error)
	Attest   Attestation
	Mask     *secret.Mask // receives every secret that a stage generates
	Now      func() time.Time
}

// Pipeline runs stages, shows their progress and collects their results.
type Pipeline struct {
	Options
	stages
	engine   engine.Engine
	provider Provider

	prepare  func() error
	base     func() (engine.Base, error)
	sidecars func() (Sidecars, error)
	syft     func() (string, error) // path of the program
	browser  func() (engine.Container, error)
	probe    map[string]func() ([]byte, error) // by architecture of the programs
}

// New returns a pipeline. A stage that several platforms need runs once, when it
// is first needed; ctx cancels it.
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

// once returns a function that runs a stage at its first call and returns the result
// at every call.
func once[T any](ctx context.Context, p *Pipeline, name string, do func(context.Context, io.Writer) (T, error)) func() (T, error) {
	return sync.OnceValues(func() (made T, err error) {
		err = p.stage(ctx, report.Key{Stage: name}, func(ctx context.Context, log io.Writer) error {
			made, err = do(ctx, log)
			return err
		})
		return made, err
	})
}

// eachPlatform runs do for all platforms at once. A platform that fails does not
// stop the others, so that one run shows all errors.
func (p *Pipeline) eachPlatform(do func(i int, platform v1.Platform) error) error {
	errs := make([]error, len(p.Platforms))
	var wg sync.WaitGroup
	for i, platform := range p.Platforms {
		wg.Go(func() { errs[i] = do(i, platform) })
	}
	wg.Wait()
	return join(errs...)
}

// join is errors.Join without nesting and repetitions: platforms that wait for the
// same stage fail with the same error.
func join(errs ...error) error {
	seen := map[string]bool{}
	return errors.Join(slices.DeleteFunc(failure.All(errors.Join(errs...)), func(err error) bool {
		again := seen[err.Error()]
		seen[err.Error()] = true
		return again
	})...)
}
