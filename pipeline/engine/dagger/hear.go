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
	// askWait is how long the recorder holds a question when there is no news.
	askWait = 5 * time.Second
	// askEvery is how long lies between two questions when there is.
	askEvery = 200 * time.Millisecond
	// lastAsk bounds the wait for what a container that has ended wrote.
	lastAsk = 5 * time.Second
)

// ask gets what the recorder has from a record on.
type ask func(ctx context.Context, from int, wait time.Duration) (string, error)

// hearing is what the recorder has told of a run.
type hearing struct {
	onLine func(string, engine.Line)
	mask   secret.Mask
	tell   sync.Mutex // one answer at a time is taken in

	mu         sync.Mutex
	news       chan struct{} // closed and replaced at each answer
	ask        ask
	next       int           // record to ask for
	offset     time.Duration // from the recorder's clock to this machine's
	containers map[string]*heard
	main       string
}

// heard is what one container has told.
type heard struct {
	started time.Time // on the recorder's clock
	lines   []engine.Line
	open    map[string]bool // by stream: written to since it was last closed
	closed  time.Time
	failed  string
}

func newHearing(req engine.RunRequest) *hearing {
	h := &hearing{onLine: req.OnLine, news: make(chan struct{}), containers: map[string]*heard{}, main: req.Main.Name}
	for _, c := range append(slices.Clone(req.Sides), req.Main) {
		h.mask.AddLines(slices.Collect(maps.Values(c.Secrets))...)
		h.containers[c.Name] = &heard{open: map[string]bool{}}
	}
	return h
}

// follow asks the recorder again and again until ctx ends.
func (h *hearing) follow(ctx context.Context, ask ask) {
	h.mu.Lock()
	h.ask = ask
	h.mu.Unlock()
	for ctx.Err() == nil {
		more, err := h.question(ctx, askWait)
		if err == nil && more {
			continue // there was more than one answer holds
		}
		select {
		case <-ctx.Done():
		case <-time.After(askEvery):
		}
	}
}

// question asks once and takes the answer in.
func (h *hearing) question(ctx context.Context, wait time.Duration) (more bool, err error) {
	h.mu.Lock()
	from, ask := h.next, h.ask
	h.mu.Unlock()
	if ask == nil {
		return false, fmt.Errorf("the recorder cannot be reached yet")
	}
	answer, err := ask(ctx, from, wait)
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
	h.take(from, time.Until(time.Unix(0, head.Now)), records)
	return len(records) == record.Page, nil
}

type said struct {
	container string
	line      engine.Line
}

func (h *hearing) take(from int, ahead time.Duration, records []record.Record) {
	h.tell.Lock()
	defer h.tell.Unlock()
	h.mu.Lock()
	if from != h.next { // another question had the same answer
		h.mu.Unlock()
		return
	}
	h.next += len(records)
	h.offset = -ahead
	var news []said
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
			news = append(news, said{r.Container, line})
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

// untilClosed waits until a container that has ended has been heard to its end.
func (h *hearing) untilClosed(ctx context.Context, name string) {
	deadline := time.After(lastAsk)
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

// catchUp takes in what the recorder has by now, when there is little time.
func (h *hearing) catchUp() {
	ctx, cancel := context.WithTimeout(context.Background(), lastAsk)
	defer cancel()
	for {
		if more, err := h.question(ctx, 0); err != nil || !more {
			return
		}
	}
}

func (h *hearing) lines(name string) []engine.Line {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.containers[name].lines)
}

// failure says why a container's command could not be started.
func (h *hearing) failure(name string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.containers[name].failed
}

// ended is when the container's last process let go of its output, on this
// machine's clock; late is when Dagger said so.
func (h *hearing) ended(name string, late time.Time) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.containers[name]; !c.closed.IsZero() && !c.open["stdout"] && !c.open["stderr"] {
		if at := c.closed.Add(h.offset); at.Before(late) {
			return at
		}
	}
	return late
}

func (h *hearing) fill(result *engine.RunResult) {
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
