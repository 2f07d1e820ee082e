package dagger

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/dagger/record"
	"github.com/linuxserver/docker-netbox/pipeline/secret"
)

const (
	// pollWait is how long the recorder holds a request when there are no new lines.
	pollWait = 5 * time.Second
	// pollEvery is how long lies between two requests when there are.
	pollEvery = 200 * time.Millisecond
	// lastPoll bounds the wait for what a container that has ended wrote.
	lastPoll = 5 * time.Second
)

// fetch gets what the recorder has from a record on.
type fetch func(ctx context.Context, from int, wait time.Duration) (string, error)

// recording is what the recorder has sent of a run.
type recording struct {
	onLine func(string, engine.Line)
	mask   secret.Mask
	adding sync.Mutex // one answer at a time is taken in

	mu         sync.Mutex
	news       chan struct{} // closed and replaced at each answer
	fetch      fetch
	next       int           // first record to fetch
	offset     time.Duration // from the recorder's clock to this machine's
	containers map[string]*containerLog
	main       string
}

// containerLog is what one container has written.
type containerLog struct {
	started time.Time // on the recorder's clock
	lines   []engine.Line
	open    map[string]bool // by stream: written to since it was last closed
	closed  time.Time
	failed  string
}

func newRecording(req engine.RunRequest) *recording {
	h := &recording{onLine: req.OnLine, news: make(chan struct{}), containers: map[string]*containerLog{}, main: req.Main.Name}
	for _, c := range append(slices.Clone(req.Sides), req.Main) {
		h.mask.AddLines(slices.Collect(maps.Values(c.Secrets))...)
		h.containers[c.Name] = &containerLog{open: map[string]bool{}}
	}
	return h
}

// follow asks the recorder again and again until ctx ends.
func (h *recording) follow(ctx context.Context, fetch fetch) {
	h.mu.Lock()
	h.fetch = fetch
	h.mu.Unlock()
	for ctx.Err() == nil {
		more, err := h.poll(ctx, pollWait)
		if err == nil && more {
			continue // there was more than one answer holds
		}
		select {
		case <-ctx.Done():
		case <-time.After(pollEvery):
		}
	}
}

// poll asks once and takes the answer in.
func (h *recording) poll(ctx context.Context, wait time.Duration) (more bool, err error) {
	h.mu.Lock()
	from, fetch := h.next, h.fetch
	h.mu.Unlock()
	if fetch == nil {
		return false, fmt.Errorf("the recorder cannot be reached yet")
	}
	answer, err := fetch(ctx, from, wait)
	if err != nil {
		return false, err
	}
	in := json.NewDecoder(strings.NewReader(answer))
	var head record.Head
	if err := in.Decode(&head); err != nil {
		return false, fmt.Errorf("read the recorder's answer: %w", err)
	}
	var records []record.Record
	for in.More() {
		var r record.Record
		if err := in.Decode(&r); err != nil {
			return false, fmt.Errorf("read the recorder's answer: %w", err)
		}
		records = append(records, r)
	}
	h.add(from, time.Until(time.Unix(0, head.Now)), records)
	return len(records) == record.Page, nil
}

type logged struct {
	container string
	line      engine.Line
}

func (h *recording) add(from int, ahead time.Duration, records []record.Record) {
	h.adding.Lock()
	defer h.adding.Unlock()
	h.mu.Lock()
	if from != h.next { // another poll had the same answer
		h.mu.Unlock()
		return
	}
	h.next += len(records)
	h.offset = -ahead
	var news []logged
	for _, r := range records {
		c := h.containers[r.Container]
		at := time.Unix(0, r.Time)
		switch r.Kind {
		case record.Started:
			c.started = at
			c.open["stdout"], c.open["stderr"] = true, true
		case record.Failed:
			c.failed = h.mask.Hide(r.Text)
		case record.Closed:
			c.open[r.Stream] = false
			c.closed = at
		case record.Broken:
			c.lines = append(c.lines, engine.Line{Stream: r.Stream, Text: "the recorder lost it: " + r.Text})
		default:
			line := engine.Line{At: max(at.Sub(c.started), 1), Stream: r.Stream, Text: h.mask.Hide(r.Text)}
			if c.started.IsZero() {
				line.At = 1
			}
			c.lines = append(c.lines, line)
			news = append(news, logged{r.Container, line})
		}
	}
	close(h.news)
	h.news = make(chan struct{})
	h.mu.Unlock()
	if h.onLine != nil {
		for _, s := range news {
			h.onLine(s.container, s.line)
		}
	}
}

// waitClosed waits until a container that has ended has been recorded to its end.
func (h *recording) waitClosed(ctx context.Context, name string) {
	deadline := time.After(lastPoll)
	for {
		h.mu.Lock()
		c, news := h.containers[name], h.news
		done := !c.started.IsZero() && !c.open["stdout"] && !c.open["stderr"]
		h.mu.Unlock()
		if done {
			return
		}
		select {
		case <-news:
		case <-deadline:
			return
		case <-ctx.Done():
			return
		}
	}
}

// drain takes in what the recorder has by now, when there is little time.
func (h *recording) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), lastPoll)
	defer cancel()
	for {
		if more, err := h.poll(ctx, 0); err != nil || !more {
			return
		}
	}
}

func (h *recording) lines(name string) []engine.Line {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.containers[name].lines)
}

// failure says why a container's command could not be started.
func (h *recording) failure(name string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.containers[name].failed
}

// ended is when the container's last process let go of its output, on this
// machine's clock; late is when Dagger said so.
func (h *recording) ended(name string, late time.Time) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.containers[name]; !c.closed.IsZero() && !c.open["stdout"] && !c.open["stderr"] {
		if at := c.closed.Add(h.offset); at.Before(late) {
			return at
		}
	}
	return late
}

func (h *recording) fill(result *engine.RunResult) {
	h.mu.Lock()
	defer h.mu.Unlock()
	result.SideLines = map[string][]engine.Line{}
	for name, c := range h.containers {
		if name != h.main {
			result.SideLines[name] = slices.Clone(c.lines)
			continue
		}
		result.Lines = slices.Clone(c.lines)
		if !c.started.IsZero() {
			result.Started = c.started.Add(h.offset)
		}
	}
}
