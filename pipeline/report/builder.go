package report

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// Builder collects a report from concurrent stages.
type Builder struct {
	mu     sync.Mutex
	report Report
	now    func() time.Time
}

// NewBuilder returns a Builder for a run that starts now. start has what is known
// at the start: project, commit, expected stages and so on.
func NewBuilder(start Report, now func() time.Time) *Builder {
	start.Started = now()
	start.Expected = slices.Clone(start.Expected)
	return &Builder{report: start, now: now}
}

// Change calls change with the report; change must not retain it.
func (b *Builder) Change(change func(*Report)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.report)
}

// outputLines is the maximum number of output lines kept for a failed stage.
const outputLines = 50

// End adds a stage that ran from start for took, with its error, if any. log is
// the name of the log with details; empty when there is none.
func (b *Builder) End(key Key, start time.Time, took time.Duration, err error, log string) {
	s := Stage{Key: key, Started: start.UTC().Truncate(time.Millisecond), Seconds: took.Round(time.Millisecond).Seconds(), Errors: failure.Lines(err)}
	if err != nil {
		s.Log = log
		var shown interface{ Lines() []string }
		if errors.As(err, &shown) {
			lines := shown.Lines()
			s.Output = slices.Clone(lines[max(0, len(lines)-outputLines):])
		}
	}
	b.Change(func(r *Report) { r.Stages = append(r.Stages, s) })
}

// Skip adds a skipped stage, with the reason.
func (b *Builder) Skip(key Key, why string) {
	b.Change(func(r *Report) { r.Stages = append(r.Stages, Stage{Key: key, Skipped: why}) })
}

// Platform calls change with the data of one platform; change must not retain it.
func (b *Builder) Platform(platform string, change func(*Platform)) {
	b.Change(func(r *Report) {
		i := slices.IndexFunc(r.Platforms, func(p Platform) bool { return p.Platform == platform })
		if i < 0 {
			i = len(r.Platforms)
			r.Platforms = append(r.Platforms, Platform{Platform: platform})
		}
		change(&r.Platforms[i])
	})
}

// Log adds the log of a container, under a file name.
func (b *Builder) Log(name string, text []byte) {
	b.Change(func(r *Report) { r.Logs = append(r.Logs, Log{Name: name, Text: slices.Clone(text)}) })
}

// Document adds a list of an image's content.
func (b *Builder) Document(d Document) {
	b.Change(func(r *Report) { r.Documents = append(r.Documents, d) })
}

// Report returns the report so far, with platforms, logs and tags sorted by name,
// so that their order does not depend on timing.
func (b *Builder) Report() Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.report
	r.Seconds = b.now().Sub(r.Started).Round(time.Millisecond).Seconds()
	r.Stages = slices.Clone(r.Stages)
	r.Platforms = slices.SortedFunc(slices.Values(r.Platforms), func(a, b Platform) int { return strings.Compare(a.Platform, b.Platform) })
	r.Logs = slices.SortedFunc(slices.Values(r.Logs), func(a, b Log) int { return strings.Compare(a.Name, b.Name) })
	r.Documents = slices.SortedFunc(slices.Values(r.Documents), func(a, b Document) int { return strings.Compare(a.Name, b.Name) })
	r.Published = slices.SortedFunc(slices.Values(r.Published), func(a, b Tag) int { return strings.Compare(a.Reference, b.Reference) })
	return r
}
