package report

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// Builder collects a report from stages that run at the same time.
type Builder struct {
	mu     sync.Mutex
	report Report
	now    func() time.Time
}

// NewBuilder begins the report of a run that starts now. start holds what is
// known at that time: project, commit, what is expected and the like.
func NewBuilder(start Report, now func() time.Time) *Builder {
	start.Started = now()
	start.Expected = slices.Clone(start.Expected)
	return &Builder{report: start, now: now}
}

// Change changes the report; change must not keep it.
func (b *Builder) Change(change func(*Report)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.report)
}

// outputLines is how many lines that show what went wrong a stage keeps.
const outputLines = 50

// End adds a stage that was done since start in the time given, with what
// failed in it. log names the log that shows more; empty when there is none.
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

// Skip adds a stage that was not done, with the reason.
func (b *Builder) Skip(key Key, why string) {
	b.Change(func(r *Report) { r.Stages = append(r.Stages, Stage{Key: key, Skipped: why}) })
}

// Platform changes what is known of one platform; change must not keep it.
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

// Log adds the log of a container, under the name of a file.
func (b *Builder) Log(name string, text []byte) {
	b.Change(func(r *Report) { r.Logs = append(r.Logs, Log{Name: name, Text: slices.Clone(text)}) })
}

// Document adds a list of what is in an image.
func (b *Builder) Document(d Document) {
	b.Change(func(r *Report) { r.Documents = append(r.Documents, d) })
}

// Report returns the report as it stands: platforms, logs and tags in the order
// of their names, so that it does not depend on who was first.
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
