// Package dagger builds and runs images on a Dagger engine, which may be shared or on
// another machine.
//
// A run is a WithExec of the main container, whose entrypoint is PID 1. The side
// containers are bound services. A recorder, which is another service, reads a named
// pipe for each output stream (see shim) and returns the lines with time and stream.
// Dagger itself returns output only as files after the end, without times, and nothing
// of a run that was stopped. A reader in the container would be among the processes that
// the checks inspect, and /init would kill it before the last lines are written.
//
// Dagger does not support these, and the engine returns an error for them:
// Container.ReadOnly, User, Capabilities and NoNewPrivileges, Mount.Host, and capturing
// from a Mount.Tmpfs. A run that exceeds its time limit is killed without a SIGTERM
// first, a run's network has internet access, and RunResult.PeakMemory is unknown.
package dagger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"dagger.io/dagger"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/singleflight"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/environ"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/gotool"
)

// Version is the Dagger release that this package is written for.
const Version = "v0.21.8"

// connectLimit is how long an engine may take to answer. It may have to start first.
const connectLimit = 3 * time.Minute

// Options configures an Engine.
type Options struct {
	Repo    string            // the repository's directory, with the source of the shim
	QEMUCPU map[string]string // value of QEMU_CPU by foreign architecture
	Environ []string          // the caller's environment, as os.Environ returns it
	// Connect opens a session. The engine's log of that session is written to log.
	// Outside tests, use Dial.
	Connect func(ctx context.Context, log io.Writer, opts ...dagger.ClientOpt) (*dagger.Client, error)
	// Go returns the container in which the engine compiles programs. If Go is nil,
	// they are compiled with this machine's go command.
	Go         func(*dagger.Client) *dagger.Container
	Disconnect time.Duration // limit for closing a session; 30 s if zero
}

// Engine is a Dagger engine.
type Engine struct {
	opts Options
	env  environ.Environment
	work string // the directory of files for the engine and of built images

	stop    context.CancelFunc
	connect func() (*session, error)

	fileGroup singleflight.Group // by name of the file in work
}

// session is a connection to an engine, with the engine's version and platform.
type session struct {
	*dagger.Client
	disconnect func()
	version    string
	native     v1.Platform
}

// New returns an engine, which connects when it is first used. The connection ends with
// ctx.
func New(ctx context.Context, opts Options) (*Engine, error) {
	work, err := os.MkdirTemp("", "docker-netbox-dagger-")
	if err != nil {
		return nil, fmt.Errorf("make room for what goes to Dagger: %w", err)
	}
	opts.Disconnect = cmp.Or(opts.Disconnect, cleanupLimit)
	ctx, stop := context.WithCancel(ctx)
	e := &Engine{opts: opts, env: environ.Parse(opts.Environ), work: work, stop: stop}
	e.connect = sync.OnceValues(func() (*session, error) { return openSession(ctx, e.opts) })
	return e, nil
}

// Dial connects to the session in the environment, or starts one with the dagger
// command: the one on PATH if there is one, else one that the SDK downloads.
func Dial(ctx context.Context, log io.Writer, opts ...dagger.ClientOpt) (*dagger.Client, error) {
	if _, set := os.LookupEnv(cliVariable); !set {
		if cli, err := exec.LookPath("dagger"); err == nil {
			if err := os.Setenv(cliVariable, cli); err != nil { // the SDK has no option for it
				return nil, err
			}
		}
	}
	return dagger.Connect(ctx, append(opts, dagger.WithLogOutput(log))...)
}

const cliVariable = "_EXPERIMENTAL_DAGGER_CLI_BIN"

// Present reports whether Dagger is available here, and why: there is a session, a
// runner host or the dagger command.
func Present(getenv func(string) string, lookPath func(string) (string, error)) (why string, present bool) {
	for _, name := range []string{"DAGGER_SESSION_PORT", "_EXPERIMENTAL_DAGGER_RUNNER_HOST", cliVariable} {
		if getenv(name) != "" {
			return name + " is set", true
		}
	}
	if path, err := lookPath("dagger"); err == nil {
		return path + " is on PATH", true
	}
	return "there is no Dagger session, runner host or dagger command", false
}

func openSession(ctx context.Context, opts Options) (*session, error) {
	client, disconnect, err := opts.openClient(ctx, io.Discard) // only builds need the engine's log
	if err != nil {
		return nil, failure.Usagef("connect to Dagger: %s: start an engine of %s, or pass --engine local", errorText(err), Version)
	}
	asked, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	s := &session{Client: client, disconnect: disconnect}
	if s.version, err = client.Version(asked); err == nil {
		var platform dagger.Platform
		if platform, err = client.DefaultPlatform(asked); err == nil {
			var p *v1.Platform
			if p, err = v1.ParsePlatform(string(platform)); err == nil {
				s.native = v1.Platform{OS: p.OS, Architecture: p.Architecture}
				return s, nil
			}
		}
	}
	disconnect()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, failure.Usagef("ask Dagger's engine for its version: %s: start an engine of %s, or pass --engine local", errorText(err), Version)
}

// newSession opens a further session to the same engine, separate from all others.
func (e *Engine) newSession(ctx context.Context, log io.Writer) (*session, error) {
	s, err := e.connect()
	if err != nil {
		return nil, err
	}
	client, disconnect, err := e.opts.openClient(ctx, log)
	if err != nil {
		return nil, fmt.Errorf("connect to Dagger: %s", errorText(err))
	}
	return &session{client, disconnect, s.version, s.native}, nil
}

// Name returns the engine's name.
func (*Engine) Name() string { return "dagger" }

// Setup connects to the engine and prints its version and platform.
func (e *Engine) Setup(_ context.Context, log io.Writer) error {
	s, err := e.connect()
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "Dagger %s on %s\n", s.version, s.native)
	return nil
}

// Native returns the platform that runs without emulation.
func (e *Engine) Native() (v1.Platform, error) {
	s, err := e.connect()
	if err != nil {
		return v1.Platform{}, err
	}
	return s.native, nil
}

// Close ends the session and removes the engine's files on this machine, including the
// built images.
func (e *Engine) Close() error {
	defer e.stop()
	connect := e.connect
	e.connect = func() (*session, error) { return nil, errors.New("the engine is closed") }
	e.stop()
	if s, err := connect(); err == nil {
		s.disconnect()
	}
	return os.RemoveAll(e.work)
}

// compiledProgram returns a program in a session, compiled once for each architecture.
func (e *Engine) compiledProgram(ctx context.Context, client *dagger.Client, goarch string, program func(repo, goarch, out string) gotool.Program) (*dagger.File, error) {
	name := path.Base(program(e.opts.Repo, goarch, "").Package) + "-" + goarch
	file, err := e.workFile(name, func(out string) error {
		return e.Compile(ctx, io.Discard, program(e.opts.Repo, goarch, out))
	})
	if err != nil {
		return nil, err
	}
	return client.Host().File(file), nil
}

func shimProgram(repo, goarch, out string) gotool.Program {
	return gotool.Program{
		Dir: repo, Package: "./pipeline/engine/dagger/shim", GOARCH: goarch, Out: out,
		Files: []string{"go.mod", "go.sum", "pipeline/engine/dagger/shim", "pipeline/engine/dagger/record", "pipeline/linebuf"},
	}
}

func rewriteProgram(repo, goarch, out string) gotool.Program {
	return gotool.Program{
		Dir: repo, Package: "./pipeline/engine/dagger/layers/rewrite", GOARCH: goarch, Out: out,
		Files: []string{"go.mod", "go.sum", "pipeline/archive", "pipeline/engine/*.go", "pipeline/engine/dagger/layers"},
	}
}

// workFile returns the path of a file in the work directory, and creates it if it does
// not exist. After an error the next call tries again: the first may have been cancelled.
func (e *Engine) workFile(name string, write func(file string) error) (file string, err error) {
	file = filepath.Join(e.work, name)
	_, err, _ = e.fileGroup.Do(name, func() (any, error) {
		if _, err := os.Stat(file); err == nil {
			return nil, nil
		}
		if err := write(file + ".part"); err != nil {
			return nil, err
		}
		return nil, os.Rename(file+".part", file)
	})
	return file, err
}

var (
	traceparent = regexp.MustCompile(`\s*\[traceparent:[0-9a-f-]*\]`)
	// queryText matches the query that the SDK prints if Dagger rejects it.
	queryText = regexp.MustCompile(`(?s)^query: .* error: `)
	// queryPath matches the path of fields that an error begins with.
	queryPath = regexp.MustCompile(`^(?:make request: )?(?:input: )?(?:[a-z][A-Za-z]*\.)*[a-z][A-Za-z]* `)
)

// errorText returns an error of Dagger on one line, without query and trace details.
func errorText(err error) string {
	text := queryText.ReplaceAllString(traceparent.ReplaceAllString(err.Error(), ""), "")
	if strings.HasPrefix(text, "make request: ") || strings.HasPrefix(text, "input: ") {
		text = queryPath.ReplaceAllString(text, "")
	}
	return strings.Join(strings.Fields(text), " ")
}

var _ engine.Engine = (*Engine)(nil)
