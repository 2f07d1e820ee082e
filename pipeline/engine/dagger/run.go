package dagger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"dagger.io/dagger"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/dagger/record"
)

// The paths of the run's own files in a container. They are not part of the image.
const (
	shimPath = "/.pipeline/shim"
	pipesDir = "/.pipeline/pipes"
)

const (
	// readyInterval is the interval between the readiness checks of a service.
	readyInterval = 500 * time.Millisecond
	// cleanupLimit limits the clean-up at the end of a run.
	cleanupLimit = 30 * time.Second
)

// Run runs a container, with its side containers, until it exits.
func (e *Engine) Run(ctx context.Context, req engine.RunRequest) (engine.RunResult, error) {
	ctx, cancel := req.Limit(ctx)
	defer cancel()
	r := &run{engine: e, req: req, id: rand.Text()}
	result, err := r.do(ctx)
	if err != nil && ctx.Err() != nil && !errors.Is(err, context.Cause(ctx)) {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err) // the cause says why it failed
	}
	if err != nil {
		err = fmt.Errorf("run %s: %w", req.Main.Name, err)
	}
	return result, err
}

// run is the state of one run.
type run struct {
	engine *Engine
	req    engine.RunRequest
	id     string // unique, so that nothing of a run comes from a cache

	client *session
	pipes  *dagger.CacheVolume
}

func (r *run) do(ctx context.Context) (result engine.RunResult, err error) {
	// The run has its own session, whose end stops everything in it. That includes a
	// service that is not ready, which Dagger cannot stop otherwise.
	if r.client, err = r.engine.newSession(context.WithoutCancel(ctx), io.Discard); err != nil {
		return result, err
	}
	defer r.client.disconnect()
	r.pipes = r.client.CacheVolume("docker-netbox-run-" + r.id)
	rec := newRecording(r.req)
	defer func() { rec.copyTo(&result) }()

	recorder, err := r.recorder(ctx)
	if err != nil {
		return result, err
	}
	services := make([]*dagger.Service, 1+len(r.req.Sides)) // nil for one that is not running
	services[0] = recorder
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupLimit)
		defer cancel()
		var wg sync.WaitGroup
		for _, s := range services {
			if s != nil {
				wg.Go(func() { _, _ = s.Stop(stop, dagger.ServiceStopOpts{Kill: true}) })
			}
		}
		wg.Wait()
	}()
	if _, err := recorder.Start(ctx); err != nil {
		return result, fmt.Errorf("start the recorder: %s", errorText(err))
	}
	pollCtx, stopPolling := context.WithCancel(context.WithoutCancel(ctx))
	defer stopPolling()
	url, err := recorder.Endpoint(ctx, dagger.ServiceEndpointOpts{Scheme: "http"})
	if err != nil {
		return result, fmt.Errorf("reach the recorder: %s", errorText(err))
	}
	var polling sync.WaitGroup
	polling.Go(func() {
		rec.poll(pollCtx, func(ctx context.Context, from int) (string, error) {
			address := fmt.Sprintf("%s/?from=%d&wait=%s&once=%s", url, from, pollWait, rand.Text())
			return r.client.HTTP(address, dagger.HTTPOpts{ExperimentalServiceHost: recorder}).Contents(ctx)
		})
	})
	defer func() { stopPolling(); polling.Wait() }()

	sides := services[1:]
	g, gctx := errgroup.WithContext(ctx)
	for i, side := range r.req.Sides {
		g.Go(func() error {
			service, err := r.sideService(gctx, side)
			if err != nil {
				return fmt.Errorf("container %s: %w", side.Name, err)
			}
			if _, err = service.Start(gctx); err != nil {
				// Another container has failed if only gctx is cancelled.
				if gctx.Err() != nil && ctx.Err() == nil {
					return gctx.Err()
				}
				return r.notReadyError(ctx, rec, side.Name, err)
			}
			sides[i] = service
			return nil
		})
	}
	var main *dagger.Container
	var command []string
	g.Go(func() (err error) {
		// Unpacking takes the longest, so it does not wait for the side containers.
		if main, command, err = r.mainContainer(gctx, r.req.Main); err == nil {
			main, err = main.Sync(gctx)
		}
		if err != nil {
			return fmt.Errorf("container %s: %s", r.req.Main.Name, errorText(err))
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return result, err
	}

	for i, side := range r.req.Sides {
		main = main.WithServiceBinding(side.Name, sides[i])
	}
	// The shim replaces itself with the image's entrypoint.
	last := len(command) - 1
	main = main.WithEntrypoint(command[:last]).WithExec(command[last:], dagger.ContainerWithExecOpts{
		UseEntrypoint: true, NoInit: true, Expect: dagger.ReturnTypeAny,
	})
	return result, r.runMain(ctx, rec, main, &result)
}

// runMain runs the main container and sets its result.
func (r *run) runMain(ctx context.Context, rec *recording, main *dagger.Container, result *engine.RunResult) error {
	name := r.req.Main.Name
	code, err := main.ExitCode(ctx)
	ended := time.Now()
	output := rec.finalLog(name)
	result.ExitCode, result.Ended = code, output.endTime(ended)
	if output.failed != "" {
		return fmt.Errorf("container %s: start %s", name, output.failed)
	}
	var failed *dagger.ExecError
	switch {
	case err == nil:
	case ctx.Err() != nil:
		result.ExitCode = 128 + 9 // Dagger kills it with SIGKILL
		return fmt.Errorf("container %s: %w%s", name, context.Cause(ctx), engine.LastLines(output.lines))
	case errors.As(err, &failed) && failed.ExitCode > 0:
		// ReturnTypeAny does not include the statuses that a signal may have set.
		// Dagger has no files of such a container.
		result.ExitCode = failed.ExitCode
		return nil
	default:
		return fmt.Errorf("container %s: %s%s", name, errorText(err), engine.LastLines(output.lines))
	}
	return r.capture(ctx, main, result)
}

func (r *run) capture(ctx context.Context, main *dagger.Container, result *engine.RunResult) error {
	result.Files = map[string][]byte{}
	for _, file := range r.req.Main.Capture {
		exists, err := main.Exists(ctx, file, dagger.ContainerExistsOpts{ExpectedType: dagger.ExistsTypeRegularType})
		if err != nil {
			return fmt.Errorf("bring back %s: %s", file, errorText(err))
		}
		if !exists {
			continue
		}
		local := filepath.Join(r.engine.work, "captured-"+rand.Text())
		if _, err := main.File(file).Export(ctx, local); err != nil {
			return fmt.Errorf("bring back %s: %s", file, errorText(err))
		}
		data, err := os.ReadFile(local)
		if err := errors.Join(err, os.Remove(local)); err != nil {
			return fmt.Errorf("bring back %s: %w", file, err)
		}
		result.Files[file] = data
	}
	return nil
}

// notReadyError returns the error of a service that did not become ready.
func (r *run) notReadyError(ctx context.Context, rec *recording, name string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("container %s: it is not ready: %w%s", name, context.Cause(ctx), engine.LastLines(rec.log(name).lines))
	}
	output := rec.finalLog(name)
	if output.failed != "" {
		return fmt.Errorf("container %s: start %s", name, output.failed)
	}
	var failed *dagger.ExecError
	if errors.As(err, &failed) {
		return fmt.Errorf("container %s: it ended with status %d before it was ready%s", name, failed.ExitCode, engine.LastLines(output.lines))
	}
	return fmt.Errorf("container %s: it is not ready: %s%s", name, errorText(err), engine.LastLines(output.lines))
}

// recorder returns the service that records the output of all containers.
func (r *run) recorder(ctx context.Context) (*dagger.Service, error) {
	shim, err := r.engine.compiledProgram(ctx, r.client.Client, r.client.native.Architecture, shimProgram)
	if err != nil {
		return nil, err
	}
	port := fmt.Sprint(record.Port)
	return r.client.Container(dagger.ContainerOpts{Platform: dagger.Platform(r.client.native.String())}).
		WithFile(shimPath, shim).
		WithMountedCache(pipesDir, r.pipes).
		WithExposedPort(record.Port).
		AsService(dagger.ContainerAsServiceOpts{
			Args:   append([]string{shimPath, "record", pipesDir, ":" + port}, r.req.Names()...),
			NoInit: true,
		}), nil
}

// sideService returns a container as a service, which is ready when its health check passes.
func (r *run) sideService(ctx context.Context, c engine.Container) (*dagger.Service, error) {
	if len(c.Capture) > 0 {
		return nil, errors.New("capture files: Dagger returns none from a service: leave Capture out")
	}
	ctr, command, err := r.prepare(ctx, c)
	if err != nil {
		return nil, err
	}
	ctr = ctr.WithMountedTemp(record.EnvironmentDir)
	if len(c.Ready) > 0 {
		ctr = ctr.WithDockerHealthcheck(append([]string{shimPath, "ready", "--"}, c.Ready...), dagger.ContainerWithDockerHealthcheckOpts{
			Interval: readyInterval.String(), StartInterval: readyInterval.String(),
			// Dagger cannot stop a service that is not ready, so its health check must
			// fail by itself after the run's time limit.
			Retries: int(r.req.Timeout/readyInterval) + 1,
		})
	} else {
		ctr = ctr.WithoutDockerHealthcheck()
	}
	return ctr.WithoutEntrypoint().AsService(dagger.ContainerAsServiceOpts{Args: command, NoInit: true}), nil
}

// mainContainer returns the main container, and its command.
func (r *run) mainContainer(ctx context.Context, c engine.Container) (*dagger.Container, []string, error) {
	for _, m := range c.Mounts {
		for _, file := range c.Capture {
			if m.Tmpfs && strings.HasPrefix(path.Clean(file)+"/", path.Clean(m.Path)+"/") {
				return nil, nil, fmt.Errorf("capture %s: Dagger returns nothing from a temporary file system: write it outside %s", file, m.Path)
			}
		}
	}
	return r.prepare(ctx, c)
}

// prepare returns a container with all that it needs to start, and its command.
func (r *run) prepare(ctx context.Context, c engine.Container) (*dagger.Container, []string, error) {
	if c.ReadOnly {
		return nil, nil, errors.New("make the root file system read-only: Dagger cannot: use --engine local")
	}
	if c.User != "" || c.Capabilities != nil || c.NoNewPrivileges {
		return nil, nil, errors.New("run with another user or fewer rights: Dagger cannot: use --engine local")
	}
	ctr, goarch, command, err := r.image(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	if len(command) == 0 {
		return nil, nil, errors.New("it has no command: set Entrypoint or Args")
	}
	ctr = r.setEnvironment(ctr, c)
	for _, m := range c.Mounts {
		switch {
		case m.Host != "":
			return nil, nil, fmt.Errorf("mount %s of this machine: Dagger's engine may be on another one: use --engine local", m.Host)
		case m.Tmpfs:
			ctr = ctr.WithMountedTemp(m.Path)
		}
		// An anonymous volume needs no mount: the root is as new and as writable.
	}
	if ctr, err = r.addFiles(ctr, c); err != nil {
		return nil, nil, err
	}
	shim, err := r.engine.compiledProgram(ctx, r.client.Client, goarch, shimProgram)
	if err != nil {
		return nil, nil, err
	}
	ctr = ctr.WithMountedFile(shimPath, shim).WithMountedCache(pipesDir, r.pipes)
	return ctr, append([]string{shimPath, "run", pipesDir, c.Name, "--"}, command...), nil
}

// setEnvironment sets a container's variables. The secret ones become Dagger secrets.
func (r *run) setEnvironment(ctr *dagger.Container, c engine.Container) *dagger.Container {
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		ctr = ctr.WithEnvVariable(name, c.Env[name])
	}
	for _, name := range slices.Sorted(maps.Keys(c.Secrets)) {
		secret := r.client.SetSecret(strings.Join([]string{r.id, c.Name, name}, "-"), c.Secrets[name])
		ctr = ctr.WithSecretVariable(name, secret)
	}
	return ctr
}

// image returns a container of the image, with its architecture and command.
func (r *run) image(ctx context.Context, c engine.Container) (ctr *dagger.Container, goarch string, command []string, err error) {
	if c.Image == nil && c.Reference == "" {
		return nil, "", nil, errors.New("it has no image")
	}
	if c.Image == nil {
		ctr = r.client.Container(dagger.ContainerOpts{Platform: dagger.Platform(r.client.native.String())}).From(c.Reference)
		var entrypoint, args []string
		if entrypoint, err = ctr.Entrypoint(ctx); err == nil {
			args, err = ctr.DefaultArgs(ctx)
		}
		if err != nil {
			return nil, "", nil, fmt.Errorf("pull %s: %s", c.Reference, errorText(err))
		}
		return ctr, r.client.native.Architecture, c.Command(entrypoint, args), nil
	}
	config, err := c.Image.ConfigFile()
	if err != nil {
		return nil, "", nil, fmt.Errorf("read the image's config: %w", err)
	}
	file, err := r.engine.archive(c.Image)
	if err != nil {
		return nil, "", nil, fmt.Errorf("read the image: %w", err)
	}
	platform := v1.Platform{OS: config.OS, Architecture: config.Architecture}
	ctr = r.client.Container(dagger.ContainerOpts{Platform: dagger.Platform(platform.String())}).Import(r.client.Host().File(file))
	return ctr, config.Architecture, c.Command(config.Config.Entrypoint, config.Config.Cmd), nil
}

// addFiles adds files to a container. They are written to this machine first, because a
// query can contain only text.
func (r *run) addFiles(ctr *dagger.Container, c engine.Container) (*dagger.Container, error) {
	for i, f := range c.Files {
		local := filepath.Join(r.engine.work, fmt.Sprintf("file-%s-%s-%d", r.id, c.Name, i))
		if err := os.WriteFile(local, f.Content, 0o600); err != nil {
			return nil, fmt.Errorf("hand over %s: %w", f.Path, err)
		}
		mode := int(f.Mode.Perm())
		if mode == 0 {
			mode = 0o644
		}
		ctr = ctr.WithFile(f.Path, r.client.Host().File(local), dagger.ContainerWithFileOpts{
			Permissions: mode, Owner: fmt.Sprintf("%d:%d", f.UID, f.GID),
		})
	}
	return ctr, nil
}
