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

// Options say where an Engine finds and keeps things.
type Options struct {
	Cache     string            // directory for all it keeps; made when absent
	Tools     string            // directory with the go.mod that pins buildkitd and buildctl
	Platforms []v1.Platform     // platforms that Setup makes ready for; none means only the machine's own
	QEMUCPU   map[string]string // CPU model for qemu, by emulated architecture ("arm64": "cortex-a72")
	LockWait  time.Duration     // how long to wait for another process that builds
	Environ   []string          // the caller's environment, as os.Environ returns it
	Log       io.Writer         // receives lines that belong to no build, from several goroutines; may be nil
}

// Engine is the embedded engine. New makes one; it is safe for concurrent use.
type Engine struct {
	id   string // of this process's use of the cache
	opts Options
	dirs dirs
	env  environ.Environment

	setup  sync.Mutex // one Setup at a time
	tools  tools      // filled by Setup
	daemon daemon
	space  space

	mu     sync.Mutex
	unlock func() // of this process's directory, once it is claimed
	pods   []*Pod // all so far
}

var _ engine.Engine = (*Engine)(nil)

// dirs is the layout of the cache.
type dirs struct {
	tools  string // programs built from tools/go.mod, by content of what they are built from
	state  string // buildkitd's
	bases  string // OCI layouts handed to builds, by digest
	images string // OCI layouts that builds made, by what they are made of
	layers string // unpacked layers, by the diff IDs up to theirs
	run    string // a directory a process, in which each pod and each build has one
}

// New makes an engine that keeps everything under opts.Cache. It touches
// nothing yet.
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
		// The process in front shows people and tests whose leftovers these are.
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

// Name is "local".
func (e *Engine) Name() string { return "local" }

// Close stops everything the engine started and drops what the cache holds
// too much of. The engine must not be used afterwards.
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
		errs = append(errs, os.RemoveAll(e.own()))
		e.unlock()
	}
	errs = append(errs, outdir.Prune(e.dirs.images, 6, 3*time.Hour), outdir.Prune(e.dirs.layers, 24, 3*time.Hour))
	return errors.Join(errs...)
}

// foreign says whether the machine needs qemu for an architecture.
func foreign(arch string) bool { return arch != "" && arch != runtime.GOARCH }

// own is the directory of this process, in which each pod and each build has one.
func (e *Engine) own() string { return filepath.Join(e.dirs.run, e.id) }

// claim makes this process's directory, which goes with Close, and removes those
// of processes that were killed. It is done once.
func (e *Engine) claim(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.unlock != nil {
		return nil
	}
	if err := os.MkdirAll(e.dirs.run, 0o700); err != nil {
		return err
	}
	// Until its own lock is taken, a directory looks abandoned.
	unlockAll, err := filelock.Lock(ctx, e.dirs.run+".lock", filelock.Exclusive, e.dirs.run, time.Minute, e.opts.Log)
	if err != nil {
		return err
	}
	defer unlockAll()
	sweepDead()
	entries, _ := os.ReadDir(e.dirs.run) // what a killed run left is not in the way
	for _, entry := range entries {
		left := filepath.Join(e.dirs.run, entry.Name())
		unlock, err := filelock.Try(filepath.Join(left, "lock"), filelock.Exclusive)
		if err != nil {
			continue // it runs
		}
		for _, dir := range cgroupDirs(entry.Name() + "-*") {
			removeCgroup(dir) // its number may be another process's by now
		}
		if err := os.RemoveAll(left); err != nil {
			fmt.Fprintf(e.opts.Log, "removing what a killed run left: %v\n", err)
		}
		unlock()
	}
	e.unlock, err = filelock.Try(filepath.Join(e.own(), "lock"), filelock.Exclusive)
	return err
}
