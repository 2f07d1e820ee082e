package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/linebuf"
	"github.com/linuxserver/docker-netbox/pipeline/progress"
	"github.com/linuxserver/docker-netbox/pipeline/report"
)

// stages shows stages while they run and reports them when they have ended.
type stages struct {
	display *progress.Display
	now     func() time.Time
	report  *report.Builder
}

// stage runs one stage: it is shown while it runs and reported when it ended.
// The report keeps the log of every build, and of every stage that fails.
func (s stages) stage(ctx context.Context, key report.Key, do func(ctx context.Context, log io.Writer) error) error {
	if err := ctx.Err(); err != nil {
		s.report.Skip(key, "interrupted")
		return err
	}
	step := s.display.Step(key.Stage, key.Platform)
	log := newStageLog(step, s.now)
	err := do(ctx, log)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err() // how a killed program ended says nothing
	}
	step.End(err)
	name := ""
	if text := log.text(); len(text) > 0 && (err != nil || key.Stage == "build") {
		name = logName(key.Stage, key.Platform)
		s.report.Log(name, text)
	}
	start := log.start.Add(log.waited)
	s.report.End(key, start, s.now().Sub(start), err, name)
	return err
}

// Report is what was found so far. Where something failed, what was expected and
// is not there was skipped for it: the reason is what failed for that platform, or
// for all of them. Before anything is begun nothing is skipped.
func (s stages) Report() report.Report {
	r := s.report.Report()
	for _, missing := range r.Outcomes() {
		var failed []string
		for _, f := range r.Stages {
			of := f.Platform == "" || missing.Platform == "" || f.Platform == missing.Platform
			if of && f.Verdict() == report.Failed && f.Stage != "access" && f.Stage != "prerequisites" {
				failed = append(failed, f.Key.String())
			}
		}
		if missing.Verdict() == report.Missing && len(failed) > 0 {
			r.Stages = append(r.Stages, report.Stage{Key: missing.Key, Skipped: strings.Join(failed, ", ") + " failed"})
		}
	}
	return r
}

// mostLog bounds the log that is kept of one stage, in bytes. What comes first
// is dropped first: the end says what went wrong.
const mostLog = 8 << 20

// stageLog shows the lines of a stage while it runs, and keeps them with their
// times since its start, as the logs of containers have them.
type stageLog struct {
	*progress.Step
	start time.Time
	now   func() time.Time

	lines  linebuf.Writer
	mu     sync.Mutex
	waited time.Duration
	kept   bytes.Buffer
}

func newStageLog(step *progress.Step, now func() time.Time) *stageLog {
	l := &stageLog{Step: step, start: now(), now: now}
	l.lines.Line = func(text string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		fmt.Fprintf(&l.kept, "%9.3f %s\n", now().Sub(l.start).Seconds(), strings.TrimRight(text, "\r "))
		if over := l.kept.Len() - mostLog; over > 0 {
			l.kept.Next(over)
			_, _ = l.kept.ReadBytes('\n') // the rest of a line that was cut
		}
	}
	return l
}

// Waited takes note that another process kept the stage waiting, which is no
// part of its work.
func (l *stageLog) Waited(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waited += d
	l.Step.Waited(d)
}

func (l *stageLog) Write(b []byte) (int, error) {
	_, _ = l.lines.Write(b) // which never fails
	return l.Step.Write(b)
}

// text is the whole log.
func (l *stageLog) text() []byte {
	l.lines.Flush()
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.kept.Bytes())
}
