// Package module runs the pipeline for the functions of the Dagger module. Each
// function runs in its own container, with a Dagger session in its environment.
// Dagger copies the repository into that container and the result files out of it.
package module

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"dagger.io/dagger"
	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/attest"
	"github.com/linuxserver/docker-netbox/pipeline/d2"
	"github.com/linuxserver/docker-netbox/pipeline/docs"
	"github.com/linuxserver/docker-netbox/pipeline/engine"
	enginedagger "github.com/linuxserver/docker-netbox/pipeline/engine/dagger"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/git"
	"github.com/linuxserver/docker-netbox/pipeline/gotool"
	"github.com/linuxserver/docker-netbox/pipeline/initgraph"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/progress"
	"github.com/linuxserver/docker-netbox/pipeline/provider"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/secret"
	"github.com/linuxserver/docker-netbox/pipeline/session"
)

// Call is one call of a function of the module.
type Call struct {
	Repo      string   // the repository's directory
	Output    string   // directory that all files go to
	Platforms []string // empty for all platforms of a release
	Base      string   // base image in a registry; empty for Layout, Archive or the published one
	Layout    string   // instead of Base: an OCI layout
	Archive   string   // instead of Base: an OCI archive of one image
	Release   string   // NetBox release; empty for the pinned one
	Log       io.Writer
	Environ   []string // as os.Environ returns it
	// Go is the ID of the container that programs are compiled in. Empty means the
	// Go image of the version in go.mod.
	Go      string
	Connect func(ctx context.Context, log io.Writer, opts ...dagger.ClientOpt) (*dagger.Client, error)
}

// bootLimit is the time limit for one boot of one platform.
const bootLimit = 15 * time.Minute

// pipeline creates the pipeline of a call, passes it to do and closes it.
func (c Call) pipeline(ctx context.Context, do func(*pipeline.Pipeline, *enginedagger.Engine) error) (err error) {
	defer func() { err = c.rewriteError(err) }()
	if len(c.Platforms) == 0 {
		c.Platforms = platform.Names()
	}
	base, err := c.base()
	if err != nil {
		return err
	}
	if err := git.Index(ctx, c.Repo); err != nil {
		return err
	}
	opts := pipeline.Options{Repo: c.Repo, Output: c.Output, Timeout: bootLimit, Mask: &secret.Mask{}, Now: time.Now}
	if err := session.Complete(ctx, &opts, session.Request{Platforms: c.Platforms, Base: base, Release: c.Release, Log: c.Log}); err != nil {
		return err
	}
	return c.engine(ctx, opts.Versions.CPUs(), func(eng *enginedagger.Engine) error {
		opts.Compile, opts.Syft, opts.D2.Module = eng.Compile, c.tool("syft", eng.Compile), c.tool("d2", eng.Compile)
		display := progress.New(c.Log, progress.Options{Now: time.Now, Hide: opts.Mask.Hide})
		defer display.Close()
		context.AfterFunc(ctx, display.Interrupt)
		in := provider.Dagger{Engine: eng, Repo: c.Repo, Services: opts.Versions.Sidecars, BaseName: opts.BaseName}
		return do(pipeline.New(ctx, opts, eng, in, display), eng)
	})
}

// engine passes the session's engine to do and closes it. The engine compiles
// programs in a separate container, because the module's own is discarded.
func (c Call) engine(ctx context.Context, cpu map[string]string, do func(*enginedagger.Engine) error) (err error) {
	in := func(client *dagger.Client) *dagger.Container {
		return dagger.Ref[*dagger.Container](client, dagger.ID(c.Go))
	}
	if c.Go == "" {
		image, err := enginedagger.GoImage(c.Repo)
		if err != nil {
			return err
		}
		in = func(client *dagger.Client) *dagger.Container { return client.Container().From(image) }
	}
	eng, err := enginedagger.New(ctx, enginedagger.Options{Repo: c.Repo, QEMUCPU: cpu, Environ: c.Environ, Connect: c.Connect, Go: in})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, eng.Close()) }()
	return do(eng)
}

// Build builds every platform's image, writes the index under the output directory
// and returns its path.
func (c Call) Build(ctx context.Context) (dir string, err error) {
	err = c.pipeline(ctx, func(p *pipeline.Pipeline, _ *enginedagger.Engine) error {
		_, _, err := p.BuildAll(ctx)
		return err
	})
	return filepath.Join(c.Output, "image"), err
}

// Graph checks the init graph of the call's first platform and returns the
// file with its drawing: as "d2" text, or as the picture "svg" for light pages
// or "svg-dark" for dark ones.
func (c Call) Graph(ctx context.Context, format string) (file string, err error) {
	looks := map[string]initgraph.Theme{"svg": initgraph.Light, "svg-dark": initgraph.Dark}
	look, picture := looks[format]
	if !picture && format != "d2" {
		return "", failure.Usagef("draw the init graph as %q: pass d2, svg or svg-dark", format)
	}
	err = c.pipeline(ctx, func(p *pipeline.Pipeline, _ *enginedagger.Engine) error {
		graph, err := p.GraphAll(ctx)
		if err != nil {
			return err
		}
		drawing, suffix := []byte(graph.D2()), ".d2"
		if picture {
			suffix = ".svg"
			if drawing, err = graph.Picture(look); err != nil {
				return err
			}
		}
		file = filepath.Join(c.Output, "graph"+suffix)
		return os.WriteFile(file, drawing, 0o644)
	})
	return file, err
}

// Boot boots every platform's image and runs all smoke checks.
func (c Call) Boot(ctx context.Context) error {
	return c.pipeline(ctx, func(p *pipeline.Pipeline, _ *enginedagger.Engine) error {
		return p.BootAll(ctx)
	})
}

// Report runs the whole check, writes its report under the output directory whether
// it passed or failed, and returns the report's path.
func (c Call) Report(ctx context.Context) (dir string, err error) {
	dir = filepath.Join(c.Output, pipeline.CheckReport)
	err = c.pipeline(ctx, func(p *pipeline.Pipeline, _ *enginedagger.Engine) error {
		_, checkErr := p.Check(ctx, nil, registry.Options{})
		if err := ctx.Err(); err != nil {
			return err
		}
		r := p.Report()
		if checkErr != nil && r.Verdict() == report.Passed {
			return checkErr // the report does not contain it
		}
		return r.Write(dir, p.Mask.Hide)
	})
	return dir, err
}

// Credentials are for the registries that are published to: a password for a single
// registry, the text of docker's config.json for several. The zero value means
// docker's configuration on this machine.
type Credentials struct{ Username, Password, Config string }

// Signing is the private key that signs published images, as PEM, and its password.
// Without a key they are not signed.
type Signing struct{ Key, Password string }

// Publish runs the whole check and then pushes the index to every address under
// every tag. Optional registries may fail. It returns a reference with a digest for
// each tag.
func (c Call) Publish(ctx context.Context, addresses, tags, optional []string, with Credentials, by Signing) ([]string, error) {
	var attestation pipeline.Attestation
	if by.Key != "" {
		key, err := attest.ReadKey("to sign with", []byte(by.Key), func() string { return by.Password })
		if err != nil {
			return nil, err
		}
		attestation.Signer = key
	}
	names := addresses
	if len(tags) > 0 {
		names = nil
	}
	for _, tag := range tags {
		for _, address := range addresses {
			names = append(names, address+":"+tag)
		}
	}
	targets, err := registry.ParseTargets(names)
	if err != nil {
		return nil, err
	}
	if len(targets) == 0 {
		return nil, errors.New("publish: no address: pass --addresses REGISTRY/NAME")
	}
	var published []string
	err = c.pipeline(ctx, func(p *pipeline.Pipeline, _ *enginedagger.Engine) error {
		keys, err := with.keychain(targets, p.Mask.Add)
		if err != nil {
			return err
		}
		p.Mask.AddLines(by.Key, by.Password)
		p.Attest = attestation
		_, err = p.Check(ctx, targets, registry.Options{Keychain: keys, Optional: optional})
		for _, t := range p.Report().Published {
			published = append(published, t.Reference+"@"+t.Digest)
		}
		return err
	})
	return published, err
}

// keychain returns the credentials for the registries of the targets.
func (c Credentials) keychain(targets []registry.Target, hide func(...string)) (authn.Keychain, error) {
	switch {
	case c.Config != "":
		return registry.DockerConfig(c.Config, hide)
	case c.Password == "":
		return nil, nil
	}
	for _, t := range targets[1:] {
		if t.Registry() != targets[0].Registry() {
			return nil, failure.Usagef("publish: the password would be sent to both %s and %s: pass --config, docker's config.json, with one for each", targets[0].Registry(), t.Registry())
		}
	}
	return registry.Password(targets[0].Registry(), c.Username, c.Password, hide), nil
}

// Container builds the image of the call's first platform and returns the ID of its
// Dagger container.
func (c Call) Container(ctx context.Context) (id dagger.ID, err error) {
	err = c.pipeline(ctx, func(p *pipeline.Pipeline, eng *enginedagger.Engine) error {
		built, err := p.Build(ctx, p.Platforms[0])
		if err != nil {
			return err
		}
		id, err = eng.Container(ctx, engine.Container{Name: "netbox", Image: built.Image})
		return err
	})
	return id, err
}

// webPort is where NetBox listens.
const webPort = 8000

// NetBox builds the image and returns the ID of a Dagger service that runs it with
// PostgreSQL and Redis. The account admin has that password.
func (c Call) NetBox(ctx context.Context, password string) (id dagger.ID, err error) {
	err = c.pipeline(ctx, func(p *pipeline.Pipeline, eng *enginedagger.Engine) error {
		native, err := eng.Native()
		if err != nil {
			return err
		}
		p.Platforms = []v1.Platform{platform.Canonical(native)} // Dagger emulates no services
		built, err := p.Build(ctx, p.Platforms[0])
		if err != nil {
			return err
		}
		sides, err := provider.Dagger{Engine: eng, Services: p.Versions.Sidecars}.Sidecars(ctx, c.Log)
		if err != nil {
			return err
		}
		env, secrets := sides.Settings()
		env["ALLOWED_HOST"], env["SUPERUSER_EMAIL"], secrets["SUPERUSER_PASSWORD"] = "*", "admin@example.com", password
		main := engine.Container{Name: "netbox", Image: built.Image, Env: env, Secrets: secrets}
		id, err = eng.Service(ctx, main, webPort, map[int]engine.Container{5432: sides.Postgres, 6379: sides.Redis})
		return err
	})
	return id, err
}

// Readme renders README.md and its pictures from readme-vars.yml and returns them
// by their paths in the repository.
func (c Call) Readme(ctx context.Context) (map[string]string, error) {
	draw := d2.Tool{Module: c.tool("d2", func(ctx context.Context, log io.Writer, p gotool.Program) error {
		return c.engine(ctx, nil, func(eng *enginedagger.Engine) error { return eng.Compile(ctx, log, p) })
	})}
	return docs.Documents{Repo: c.Repo, D2: draw}.Render(ctx, c.Log)
}

// CheckReadme fails when README.md or one of its pictures differs from what
// readme-vars.yml renders to.
func (c Call) CheckReadme() error {
	err := docs.Documents{Repo: c.Repo, D2: d2.Tool{Module: c.tool("d2", nil)}}.Check()
	var drift *docs.Drift
	if errors.As(err, &drift) {
		return fmt.Errorf("%w\n%s", drift, drift.Diff)
	}
	return err
}

// tool returns the module of a directory of tools/. Each call builds the programs it
// needs, because its container is discarded.
func (c Call) tool(name string, compile gotool.Compiler) gotool.Module {
	module := session.Tool(c.Repo, filepath.Join(os.TempDir(), pipeline.Project), name, c.Environ, bootLimit)
	module.Compile = compile
	return module
}

// Lint runs the verb lint and fails if it reports findings.
func (c Call) Lint(ctx context.Context) error {
	return c.engine(ctx, nil, func(eng *enginedagger.Engine) error {
		return eng.Go(ctx, c.Repo, "go", "run", "./ci", "lint")
	})
}
