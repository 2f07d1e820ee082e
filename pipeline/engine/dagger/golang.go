package dagger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"dagger.io/dagger"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/gotool"
)

var toolchain = regexp.MustCompile(`(?m)^toolchain go(\S+)$`)

// GoImage returns the container image with the Go version of a repository's go.mod.
func GoImage(repo string) (string, error) {
	text, err := os.ReadFile(filepath.Join(repo, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("find out which Go to use: %w", err)
	}
	m := toolchain.FindSubmatch(text)
	if m == nil {
		return "", failure.Usagef("find out which Go to use: go.mod has no line \"toolchain goVERSION\": add it")
	}
	return "docker.io/library/golang:" + string(m[1]), nil
}

// Compile compiles a program, in the engine if Options.Go is set, else with this
// machine's go command. The engine caches the result by content for all sessions.
func (e *Engine) Compile(ctx context.Context, log io.Writer, p gotool.Program) error {
	if e.opts.Go == nil {
		return gotool.Compile(ctx, log, p)
	}
	ctr, err := e.goContainer(p.Dir, p.Files)
	if err != nil {
		return err
	}
	const out = "/out/program"
	built := ctr.
		WithEnvVariable("GOOS", "linux").WithEnvVariable("GOARCH", p.GOARCH).
		WithExec(slices.Concat([]string{"go"}, p.Args(), []string{"-o", out, p.Package}))
	if _, err := built.File(out).Export(ctx, p.Out); err != nil {
		return fmt.Errorf("compile %s for %s: %w", p.Package, p.GOARCH, programError(ctx, err))
	}
	return nil
}

// Go runs a command in the engine's Go container, in a copy of a directory.
func (e *Engine) Go(ctx context.Context, dir string, args ...string) error {
	ctr, err := e.goContainer(dir, nil)
	if err != nil {
		return err
	}
	if _, err := ctr.WithExec(args).Sync(ctx); err != nil {
		return fmt.Errorf("run %s: %w", strings.Join(args[:min(2, len(args))], " "), programError(ctx, err))
	}
	return nil
}

// goFlags are the flags that programs are compiled with. The linters use them too, so
// that the standard library and shared packages are compiled only once.
var goFlags = strings.Join(gotool.PackageFlags, " ")

// goContainer returns a container with Go, a directory to work in, and the caches of
// modules and compiled packages.
func (e *Engine) goContainer(dir string, files []string) (*dagger.Container, error) {
	s, err := e.connect()
	if err != nil {
		return nil, err
	}
	ctr := e.opts.Go(s.Client)
	for _, name := range []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE"} {
		if value := e.env[name]; value != "" {
			ctr = ctr.WithEnvVariable(name, value)
		}
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	source := s.Host().Directory(abs, dagger.HostDirectoryOpts{Include: files, Exclude: []string{".git", "dist"}})
	return ctr.
		WithMountedCache("/go/pkg/mod", s.CacheVolume("docker-netbox-go-mod")).
		WithMountedCache("/root/.cache/go-build", s.CacheVolume("docker-netbox-go-build")).
		WithMountedCache("/root/.cache/docker-netbox", s.CacheVolume("docker-netbox-tools")).
		WithEnvVariable("GOMODCACHE", "/go/pkg/mod").WithEnvVariable("GOCACHE", "/root/.cache/go-build").
		WithEnvVariable("CGO_ENABLED", "0").WithEnvVariable("GOFLAGS", goFlags).
		WithMountedDirectory("/src", source).WithWorkdir("/src"), nil
}

// programError returns the error of a program with its output, on one line.
func programError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var failed *dagger.ExecError
	if errors.As(err, &failed) {
		return fmt.Errorf("exit status %d: %s", failed.ExitCode, strings.Join(strings.Fields(failed.Stdout+" "+failed.Stderr), " "))
	}
	return errors.New(errorText(err))
}
