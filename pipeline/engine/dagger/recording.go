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
	// pollInterval is the pause between two requests.
	pollInterval = 200 * time.Millisecond
	// drainLimit limits the wait for the last output of a container that has exited.
	drainLimit = 5 * time.Second
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
	started  time.Time // on the recorder's clock
	received time.Time // when that was received, on this machine's clock
	lines    []engine.Line
	open     map[string]bool // by stream: whether a process has it open
	closed   time.Time       // on the recorder's clock
	failed   string
}

func newRecording(req engine.RunRequest) *recording {
	rec := &recording{onLine: req.OnLine, containers: map[string]*containerLog{}, main: req.Main.Name}
	for _, c := range append(slices.Clone(req.Sides), req.Main) {
		rec.mask.AddLines(slices.Collect(maps.Values(c.Secrets))...)
		rec.containers[c.Name] = &containerLog{open: map[string]bool{}}
	}
	return rec
}

// poll fetches new records from the recorder until ctx ends.
func (rec *recording) poll(ctx context.Context, fetch func(ctx context.Context, from int) (string, error)) {
	for next := 0; ctx.Err() == nil; {
		var records []record.Record
		answer, err := fetch(ctx, next)
		if err == nil {
			err = json.Unmarshal([]byte(answer), &records)
		}
		if err == nil {
			next += len(records)
			rec.addRecords(records)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pollInterval):
		}
	}
}

func (rec *recording) addRecords(records []record.Record) {
	rec.mu.Lock()
	var callbacks []func()
	for _, r := range records {
		c := rec.containers[r.Container]
		at := time.Unix(0, r.Time)
		switch r.Kind {
		case record.Started:
			c.started, c.received = at, time.Now()
			c.open["stdout"], c.open["stderr"] = true, true
		case record.Failed:
			c.failed = rec.mask.Hide(r.Text)
		case record.Closed:
			c.open[r.Stream] = false
			c.closed = at
		default:
			line := engine.Line{At: 1, Stream: r.Stream, Text: rec.mask.Hide(r.Text)}
			if !c.started.IsZero() {
				line.At = max(at.Sub(c.started), 1)
			}
			c.lines = append(c.lines, line)
			callbacks = append(callbacks, func() { rec.onLine(r.Container, line) })
		}
	}
	rec.mu.Unlock()
	if rec.onLine != nil {
		for _, callback := range callbacks {
			callback()
		}
	}
}

// done reports whether the last process of a container has closed its output.
func (c containerLog) done() bool {
	return !c.started.IsZero() && !c.open["stdout"] && !c.open["stderr"]
}

// finalLog returns the output of a container that has exited. It waits until all of it is
// recorded, but not for long, since that may never happen after a run was stopped.
func (rec *recording) finalLog(name string) containerLog {
	for deadline := time.Now().Add(drainLimit); !rec.log(name).done() && time.Now().Before(deadline); {
		time.Sleep(pollInterval)
	}
	return rec.log(name)
}

// log returns the output of a container so far.
func (rec *recording) log(name string) containerLog {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	c := *rec.containers[name]
	c.lines, c.open = slices.Clone(c.lines), maps.Clone(c.open)
	return c
}

// endTime returns when a container's last process closed its output, on this machine's
// clock. It returns reported, when Dagger reported the exit, if that is earlier or if
// the output is still open.
func (c containerLog) endTime(reported time.Time) time.Time {
	if at := c.received.Add(c.closed.Sub(c.started)); c.done() && at.Before(reported) {
		return at
	}
	return reported
}

func (rec *recording) copyTo(result *engine.RunResult) {
	result.SideLines = map[string][]engine.Line{}
	for name := range rec.containers {
		if c := rec.log(name); name == rec.main {
			result.Lines, result.Started = c.lines, c.received
		} else {
			result.SideLines[name] = c.lines
		}
	}
}
