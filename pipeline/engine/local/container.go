package local

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/linebuf"
	"github.com/linuxserver/docker-netbox/pipeline/proc"
)

const (
	defaultGrace = 10 * time.Second
	readyPoll    = 80 * time.Millisecond
)

// Container is a container of a pod, running or exited.
type Container struct {
	pod    *Pod
	spec   engine.Container
	config *v1.ConfigFile

	id      string // for runc; also names the cgroup below cgroupTop and the directories in the pod's
	process specs.Process

	began time.Time
	done  chan struct{} // closed at the exit; the fields up to peak are set then
	code  int
	fail  error // runc itself failed
	ended time.Time
	peak  int64

	emit   sync.Mutex // serialises the calls of the listeners
	listen []func(engine.Line)
	mu     sync.Mutex
	lines  []engine.Line
}

// Start starts a container. It may be called at any time, also with the name of
// a container that has exited; each start has a new root file system. It does not
// wait for Ready: see WaitReady.
func (p *Pod) Start(ctx context.Context, spec engine.Container) (*Container, error) {
	c, err := p.prepare(ctx, spec)
	if err != nil {
		return nil, err
	}
	if err := c.launch(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// prepare does everything that comes before the first process.
func (p *Pod) prepare(ctx context.Context, spec engine.Container) (*Container, error) {
	if spec.Image == nil {
		return nil, fmt.Errorf("container %s: it has no image", spec.Name)
	}
	if err := p.name(spec.Name); err != nil {
		return nil, fmt.Errorf("container %s: %w", spec.Name, err)
	}
	p.keepSecret(spec.Secrets)
	config, err := spec.Image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("container %s: reading the image's config: %w", spec.Name, err)
	}
	if err := registerEmulator(ctx, p.engine.opts.Log, config.Architecture); err != nil {
		return nil, fmt.Errorf("container %s: %w", spec.Name, err)
	}
	lower, err := p.engine.unpack(ctx, spec.Image)
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", spec.Name, err)
	}
	c := &Container{pod: p, spec: spec, config: config, id: fmt.Sprintf("%s-%d", p.id, p.count.Add(1))}
	if err := c.mount(lower); err != nil {
		return nil, fmt.Errorf("container %s: %w", spec.Name, err)
	}
	return c, nil
}

// launch starts the container's first process.
func (c *Container) launch(ctx context.Context) error {
	p := c.pod
	logFile := filepath.Join(c.id, "log")
	cmd := p.runc(context.Background(), logFile, "run", "--bundle", c.id, "--pid-file", c.pidFile(), c.id)
	stdout, stderr := c.output("stdout"), c.output("stderr")
	cmd.Stdout, cmd.Stderr = stdout, stderr
	c.done = make(chan struct{})
	c.began = time.Now()

	if err := p.add(c, cmd); err != nil {
		return fmt.Errorf("starting container %s: %w", c.spec.Name, err)
	}
	go func() {
		err := cmd.Wait() // until no process holds the other end of its output
		stdout.Flush()
		stderr.Flush()
		c.ended = time.Now()
		c.code = cmd.ProcessState.ExitCode()
		if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			c.code = 128 + int(ws.Signal())
		}
		if err != nil && !p.has(c.pidFile()) {
			c.fail = c.runcError(logFile)
		}
		c.peak = peakMemory(c.id)
		close(c.done)
	}()
	// The container has started once runc has written the PID file.
	for {
		if p.has(c.pidFile()) {
			if emulated(c.config.Architecture) { // it is the slowest: it must not wait for others
				raiseWeight(c.id)
			}
			return nil
		}
		select {
		case <-c.done:
			return c.fail
		case <-ctx.Done():
			_ = cmd.Process.Kill()
			return fmt.Errorf("starting container %s: %w", c.spec.Name, context.Cause(ctx))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// pidFile is the file to which runc writes the PID of the first process once it
// has started.
func (c *Container) pidFile() string { return filepath.Join(c.id, "pid") }

// runcError returns the reason why runc could not start the container.
func (c *Container) runcError(logFile string) error {
	data, _ := c.pod.files.ReadFile(logFile)
	why := "runc ended"
	for line := range bytes.Lines(data) {
		var entry struct{ Level, Msg string }
		if json.Unmarshal(line, &entry) == nil && entry.Level == "error" {
			why = entry.Msg
		}
	}
	if why == "runc ended" {
		if lines := c.Lines(); len(lines) > 0 {
			why += ": " + lines[len(lines)-1].Text
		}
	}
	return fmt.Errorf("starting container %s: %s", c.spec.Name, c.pod.secrets.Hide(why))
}

// output returns a writer that records the lines of a stream and passes them to
// the listeners.
func (c *Container) output(stream string) *linebuf.Writer {
	return &linebuf.Writer{Line: func(text string) {
		line := engine.Line{At: time.Since(c.began), Stream: stream, Text: c.pod.secrets.Hide(text)}
		c.emit.Lock()
		defer c.emit.Unlock()
		c.mu.Lock()
		c.lines = append(c.lines, line)
		c.mu.Unlock()
		for _, f := range c.listen {
			f(line)
		}
	}}
}

// OnLine calls f for each line so far and then for each new one, one at a time.
// f must not call OnLine.
func (c *Container) OnLine(f func(engine.Line)) {
	c.emit.Lock()
	defer c.emit.Unlock()
	for _, l := range c.Lines() {
		f(l)
	}
	c.listen = append(c.listen, f)
}

// Lines returns the container's output so far.
func (c *Container) Lines() []engine.Line {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lines)
}

// Name returns the container's name in its pod.
func (c *Container) Name() string { return c.spec.Name }

// Started returns the time of the start.
func (c *Container) Started() time.Time { return c.began }

// Ended waits for the exit and returns its time.
func (c *Container) Ended() time.Time {
	<-c.done
	return c.ended
}

// PeakMemory waits for the exit and returns the peak memory in bytes, page cache
// included, or 0 when the kernel does not report it.
func (c *Container) PeakMemory() int64 {
	<-c.done
	return c.peak
}

// Done returns a channel that is closed when the container has exited and its
// last line is read.
func (c *Container) Done() <-chan struct{} { return c.done }

// Wait waits for the exit and returns the exit code, 128+n after signal n.
func (c *Container) Wait(ctx context.Context) (int, error) {
	select {
	case <-c.done:
		return c.code, c.fail
	case <-ctx.Done():
		return -1, fmt.Errorf("waiting for container %s: %w", c.spec.Name, context.Cause(ctx))
	}
}

// WaitReady runs the container's Ready command until it exits 0. It fails when the
// container exits or the context is done.
func (c *Container) WaitReady(ctx context.Context) error {
	if len(c.spec.Ready) == 0 {
		return nil
	}
	last := ""
	for {
		_, stderr, code, err := c.Exec(ctx, c.spec.Ready, nil)
		if err == nil && code == 0 {
			return nil
		}
		if err == nil {
			if lines := proc.LastLines(stderr, 1); len(lines) == 1 {
				last = fmt.Sprintf("; its ready command says: %s", lines[0])
			}
		}
		select {
		case <-c.done:
			return fmt.Errorf("container %s: ended with code %d before it was ready%s", c.spec.Name, c.code, engine.LastLines(c.Lines()))
		case <-ctx.Done():
			return fmt.Errorf("container %s: not ready: %w%s%s", c.spec.Name, context.Cause(ctx), last, engine.LastLines(c.Lines()))
		case <-time.After(readyPoll):
		}
	}
}

// Restart starts an exited container again with its root file system, as `docker
// restart` does. The new Container starts without lines and statistics.
func (c *Container) Restart(ctx context.Context) (*Container, error) {
	select {
	case <-c.done:
	default:
		return nil, fmt.Errorf("restarting container %s: it still runs", c.spec.Name)
	}
	again := &Container{pod: c.pod, spec: c.spec, config: c.config, id: c.id, process: c.process}
	if err := c.pod.files.Remove(c.pidFile()); err != nil {
		return nil, fmt.Errorf("restarting container %s: %w", c.spec.Name, err)
	}
	if err := again.launch(ctx); err != nil {
		return nil, err
	}
	return again, nil
}
