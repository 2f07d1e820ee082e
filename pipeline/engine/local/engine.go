package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/environ"
	"github.com/linuxserver/docker-netbox/pipeline/filelock"
	"github.com/linuxserver/docker-netbox/pipeline/outdir"
)

// Options configures an Engine.
type Options struct {
	Cache     string            // directory of all files that it keeps; created if missing
	Tools     string            // directory with the go.mod that pins buildkitd and buildctl
	Platforms []v1.Platform     // platforms that Setup prepares; empty means only the machine's own
	QEMUCPU   map[string]string // CPU model for qemu, by emulated architecture ("arm64": "cortex-a72")
	LockWait  time.Duration     // maximum wait for another process that builds
	Environ   []string          // the caller's environment, in the format of os.Environ
	Log       io.Writer         // receives lines outside of builds, from several goroutines; may be nil
}

// Engine is the embedded engine, as returned by New. It is safe for concurrent use.
type Engine struct {
	id   string // names this process's directory and cgroups
	opts Options
	dirs dirs
	env  environ.Environment

	setup  sync.Mutex // one Setup at a time
	tools  tools      // filled by Setup
	daemon daemon
	space  space

	mu     sync.Mutex
	unlock func() // of this process's directory; nil before it is created
	pods   []*Pod // all pods so far
}

var _ engine.Engine = (*Engine)(nil)

// dirs holds the directories of the cache.
type dirs struct {
	tools  string // programs built from tools/go.mod, by the digest of their sources
	state  string // buildkitd's state
	bases  string // OCI layouts of base images for builds, by digest
	images string // OCI layouts of built images, by the digest of their inputs
	layers string // unpacked layers, by the diff IDs of the layer and those below
	run    string // one directory for each process, with one for each pod and build
}

// New returns an engine that keeps its files under opts.Cache. It creates none yet.
func New(opts Options) (*Engine, error) {
	cache, err := filepath.Abs(opts.Cache)
	if err != nil {
		return nil, fmt.Errorf("making the local engine: %w", err)
	}
	if opts.Log == nil {
		opts.Log = io.Discard
	}
	root := filepath.Join(cache, "local")
	e := &Engine{
		// The leading PID shows people and tests which process left something behind.
		id:   fmt.Sprintf("%d-%s", os.Getpid(), strings.ToLower(rand.Text()[:10])),
		opts: opts,
		env:  environ.Parse(opts.Environ),
		dirs: dirs{
			tools:  filepath.Join(root, "tools"),
			state:  filepath.Join(root, "buildkit"),
			bases:  filepath.Join(root, "bases"),
			images: filepath.Join(root, "images"),
			layers: filepath.Join(root, "layers"),
			run:    filepath.Join(root, "run"),
		},
	}
	e.daemon.engine = e
	return e, nil
}

// Name returns "local".
func (e *Engine) Name() string { return "local" }

// Close stops everything that the engine started and prunes the cache. The engine
// must not be used afterwards.
func (e *Engine) Close() error {
	e.space.close()
	e.mu.Lock()
	pods := e.pods
	e.mu.Unlock()
	var errs []error
	for _, p := range pods {
		errs = append(errs, p.Close())
	}
	e.daemon.close()
	if e.unlock != nil {
		errs = append(errs, os.RemoveAll(e.processDir()))
		e.unlock()
	}
	errs = append(errs, outdir.Prune(e.dirs.images, 6, 3*time.Hour), outdir.Prune(e.dirs.layers, 24, 3*time.Hour))
	return errors.Join(errs...)
}

// emulated reports whether the machine needs qemu for an architecture.
func emulated(arch string) bool { return arch != "" && arch != runtime.GOARCH }

// processDir returns this process's directory, which has one for each pod and build.
func (e *Engine) processDir() string { return filepath.Join(e.dirs.run, e.id) }

// createProcessDir creates and locks this process's directory, which Close removes,
// and removes those of processes that were killed. Further calls do nothing.
func (e *Engine) createProcessDir(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.unlock != nil {
		return nil
	}
	if err := os.MkdirAll(e.dirs.run, 0o700); err != nil {
		return err
	}
	// A directory looks abandoned until its own lock is held.
	unlockAll, err := filelock.Lock(ctx, e.dirs.run+".lock", filelock.Exclusive, e.dirs.run, time.Minute, e.opts.Log)
	if err != nil {
		return err
	}
	defer unlockAll()
	removeStaleCgroups()
	entries, _ := os.ReadDir(e.dirs.run) // leftovers do no harm if this fails
	for _, entry := range entries {
		left := filepath.Join(e.dirs.run, entry.Name())
		unlock, err := filelock.Try(filepath.Join(left, "lock"), filelock.Exclusive)
		if err != nil {
			continue // its process is running
		}
		for _, dir := range cgroupDirs(entry.Name() + "-*") {
			removeCgroup(dir) // its PID may be in use again by now
		}
		if err := os.RemoveAll(left); err != nil {
			fmt.Fprintf(e.opts.Log, "removing what a killed run left: %v\n", err)
		}
		unlock()
	}
	e.unlock, err = filelock.Try(filepath.Join(e.processDir(), "lock"), filelock.Exclusive)
	return err
}
