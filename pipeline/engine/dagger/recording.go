package dagger

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/dagger/record"
	"github.com/linuxserver/docker-netbox/pipeline/secret"
)

const (
	// pollWait is how long the recorder holds a request if there are no new lines.
	pollWait = 5 * time.Second
	// pollEvery is the pause between two requests.
	pollEvery = 200 * time.Millisecond
	// lastPoll limits the wait for the last output of a container that has exited.
	lastPoll = 5 * time.Second
)

// recording collects the records of a run.
type recording struct {
	onLine func(string, engine.Line)
	mask   secret.Mask
	main   string

	mu         sync.Mutex
	containers map[string]*containerLog
}

// containerLog is the output of one container.
type containerLog struct {
	started time.Time // on the recorder's clock
	seen    time.Time // when that was received, on this machine's clock
	lines   []engine.Line
	open    map[string]bool // by stream: whether a process has it open
	closed  time.Time       // on the recorder's clock
	failed  string
}

func newRecording(req engine.RunRequest) *recording {
	h := &recording{onLine: req.OnLine, containers: map[string]*containerLog{}, main: req.Main.Name}
	for _, c := range append(slices.Clone(req.Sides), req.Main) {
		h.mask.AddLines(slices.Collect(maps.Values(c.Secrets))...)
		h.containers[c.Name] = &containerLog{open: map[string]bool{}}
	}
	return h
}

// follow fetches new records from the recorder until ctx ends.
func (h *recording) follow(ctx context.Context, fetch func(ctx context.Context, from int) (string, error)) {
	for next := 0; ctx.Err() == nil; {
		var records []record.Record
		answer, err := fetch(ctx, next)
		if err == nil {
			err = json.Unmarshal([]byte(answer), &records)
		}
		if err == nil {
			next += len(records)
			h.add(records)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pollEvery):
		}
	}
}

func (h *recording) add(records []record.Record) {
	h.mu.Lock()
	var news []func()
	for _, r := range records {
		c := h.containers[r.Container]
		at := time.Unix(0, r.Time)
		switch r.Kind {
		case record.Started:
			c.started, c.seen = at, time.Now()
			c.open["stdout"], c.open["stderr"] = true, true
		case record.Failed:
			c.failed = h.mask.Hide(r.Text)
		case record.Closed:
			c.open[r.Stream] = false
			c.closed = at
		default:
			line := engine.Line{At: 1, Stream: r.Stream, Text: h.mask.Hide(r.Text)}
			if !c.started.IsZero() {
				line.At = max(at.Sub(c.started), 1)
			}
			c.lines = append(c.lines, line)
			news = append(news, func() { h.onLine(r.Container, line) })
		}
	}
	h.mu.Unlock()
	if h.onLine != nil {
		for _, show := range news {
			show()
		}
	}
}

// done reports whether the last process of a container has closed its output.
func (c containerLog) done() bool {
	return !c.started.IsZero() && !c.open["stdout"] && !c.open["stderr"]
}

// whole returns the output of a container that has exited. It waits until all of it is
// recorded, but not for long, since that may never happen after a run was stopped.
func (h *recording) whole(name string) containerLog {
	for deadline := time.Now().Add(lastPoll); !h.of(name).done() && time.Now().Before(deadline); {
		time.Sleep(pollEvery)
	}
	return h.of(name)
}

// of returns the output of a container so far.
func (h *recording) of(name string) containerLog {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := *h.containers[name]
	c.lines, c.open = slices.Clone(c.lines), maps.Clone(c.open)
	return c
}

// ended returns when a container's last process closed its output, on this machine's
// clock. It returns late, when Dagger reported the exit, if that is earlier.
func (c containerLog) ended(late time.Time) time.Time {
	if at := c.seen.Add(c.closed.Sub(c.started)); c.done() && at.Before(late) {
		return at
	}
	return late
}

func (h *recording) fill(result *engine.RunResult) {
	result.SideLines = map[string][]engine.Line{}
	for name := range h.containers {
		if c := h.of(name); name == h.main {
			result.Lines, result.Started = c.lines, c.seen
		} else {
			result.SideLines[name] = c.lines
		}
	}
}
