// Package progress shows the running steps of a pipeline. A terminal shows a
// live tree of stages and platforms; any other writer gets plain lines that
// start with the time.
package progress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/linebuf"
)

// Options configures New. Now is required.
type Options struct {
	Terminal *Terminal        // nil when w is not a terminal
	Now      func() time.Time // the clock, in the time zone to print times in
	Hide     func(string) string
	// Hide removes secrets from every line; nil leaves lines unchanged.
}

// redrawInterval is the time between two redraws of a terminal's tree.
const redrawInterval = 100 * time.Millisecond

// Display shows steps. It is safe for concurrent use.
type Display struct {
	opts  Options
	start time.Time

	mu          sync.Mutex
	w           io.Writer
	steps       []*Step // in start order
	interrupted bool
	closed      bool
	drawn       []row // the rows on the terminal, above the cursor
}

// New returns a Display that writes to w. The caller must close it.
func New(w io.Writer, opts Options) *Display {
	if opts.Hide == nil {
		opts.Hide = func(s string) string { return s }
	}
	p := &Display{opts: opts, start: opts.Now(), w: w}
	if opts.Terminal != nil {
		time.AfterFunc(redrawInterval, p.tick)
	}
	return p
}

// tick redraws the tree periodically until the display is closed.
func (p *Display) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.redraw()
		time.AfterFunc(redrawInterval, p.tick)
	}
}

// Interrupt shows that the steps are being stopped, which takes a moment.
func (p *Display) Interrupt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.interrupted {
		return
	}
	p.interrupted = true
	if p.opts.Terminal != nil {
		p.redraw()
		return
	}
	fmt.Fprintf(p.w, "%s %s\n", p.opts.Now().Format(time.TimeOnly), stopping)
}

const stopping = "interrupted: stopping everything that was started"

// Close reports unfinished steps as stopped and removes the tree from the
// terminal; the caller prints the results as a table. Later events of steps are
// not shown. Close may be called twice.
func (p *Display) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	for _, s := range p.steps {
		if s.state <= finished {
			p.finish(s, stopped, "")
		}
	}
	if p.opts.Terminal != nil {
		io.WriteString(p.w, p.erase())
	}
	p.closed = true
}

// Step starts a step: a stage, of one platform unless platform is empty. Lines
// written to the step are its log.
func (p *Display) Step(stage, platform string) *Step {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &Step{p: p, stage: stage, platform: platform, start: p.opts.Now()}
	s.lines.Line = s.line
	if p.closed {
		s.state = stopped
		return s
	}
	p.steps = append(p.steps, s)
	p.printLine(s, "started")
	p.redraw()
	return s
}

// state is the state of a step.
type state int

const (
	running  state = iota
	finished       // its work is done, its result is not known yet
	passed
	failed
	skipped
	stopped
)

// Step is one step.
type Step struct {
	p               *Display
	stage, platform string
	lines           linebuf.Writer

	// Under p.mu.
	start  time.Time
	waited time.Duration // since start, for another process
	state  state
	end    time.Time    // end of its work
	last   string       // the last line of the log; the reason once the step has ended
	log    bytes.Buffer // all lines, with their times since start
}

// maxLog limits the log kept for one step, in bytes. The oldest lines are
// dropped first, because the end shows what went wrong.
const maxLog = 8 << 20

// Write appends to the log, in chunks of any size. It never fails.
func (s *Step) Write(b []byte) (int, error) { return s.lines.Write(b) }

// line adds one line to the log and shows it.
func (s *Step) line(text string) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	fmt.Fprintf(&s.log, "%9.3f %s\n", s.p.opts.Now().Sub(s.start).Seconds(), strings.TrimRight(text, "\r "))
	if over := s.log.Len() - maxLog; over > 0 {
		s.log.Next(over)
		_, _ = s.log.ReadBytes('\n') // the rest of a truncated line
	}
	text = strings.TrimRight(s.p.opts.Hide(clean(text)), " ")
	if text != "" && s.state <= finished {
		s.last = text
		s.p.printLine(s, text)
	}
}

// Show shows the step's progress in place of its last log line. Only a terminal
// shows it; it changes too often to be logged.
func (s *Step) Show(text string) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if s.state == running {
		s.last = s.p.opts.Hide(clean(text))
	}
}

// Log returns the whole log, including any secrets in it. Each line starts with
// the time since the step's start, as in the logs of containers.
func (s *Step) Log() []byte {
	s.lines.Flush()
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	return bytes.Clone(s.log.Bytes())
}

// Waited subtracts time that the step spent waiting for another process: it is
// not part of its work.
func (s *Step) Waited(d time.Duration) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if s.state == running {
		s.waited += d
	}
}

// Work returns when the step's work began, after any waiting, and how long it
// has taken so far.
func (s *Step) Work() (began time.Time, took time.Duration) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	return s.start.Add(s.waited), s.elapsed()
}

// WorkDone reports that the step's work is done and stops its clock. Its result is
// determined later, and End reports it.
func (s *Step) WorkDone() {
	s.lines.Flush()
	p := s.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.state != running {
		return
	}
	s.end = p.opts.Now()
	s.state, s.last = finished, "done, not judged yet"
	p.printLine(s, fmt.Sprintf("done after %s, not judged yet", s.took()))
	p.redraw()
}

// End reports how the step went. Only the first End or Skip counts.
func (s *Step) End(err error) { s.EndAt(time.Time{}, err) }

// EndAt is like End, for a step whose work was done earlier.
func (s *Step) EndAt(done time.Time, err error) {
	switch {
	case errors.Is(err, context.Canceled):
		s.finish(done, stopped, "")
	case err != nil:
		s.finish(done, failed, strings.Join(failure.Lines(err), "; "))
	default:
		s.finish(done, passed, "")
	}
}

// Skip reports that the step was skipped, and why.
func (s *Step) Skip(why string) { s.finish(time.Time{}, skipped, why) }

// finish ends a step unless it has ended. done is when its work ended, if that
// is not known yet; zero means now.
func (s *Step) finish(done time.Time, to state, why string) {
	s.lines.Flush()
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if s.state > finished {
		return
	}
	if s.state == running {
		s.end = done
	}
	s.p.finish(s, to, s.p.opts.Hide(clean(why)))
	s.p.redraw()
}

// finish ends a step, with an optional reason.
func (p *Display) finish(s *Step, to state, why string) {
	if s.end.IsZero() {
		s.end = p.opts.Now()
	}
	s.state, s.last = to, why
	verdict := map[state]string{passed: "passed in ", failed: "failed after ", skipped: "skipped after ", stopped: "stopped after "}[to] + s.took()
	// On a terminal, the tree shows the start of a failure and the summary all of it.
	if why != "" && (p.opts.Terminal == nil || to != failed) {
		verdict += ": " + why
	}
	p.printLine(s, verdict)
}

// took formats the duration of the step's work so far.
func (s *Step) took() string {
	return fmt.Sprintf("%.1f s", s.elapsed().Seconds())
}

func (s *Step) elapsed() time.Duration {
	end := s.end
	if end.IsZero() {
		end = s.p.opts.Now()
	}
	return end.Sub(s.start) - s.waited
}

func (s *Step) name() string { return strings.TrimSuffix(s.stage+" "+s.platform, " ") }

// printLine prints a permanent line. A terminal prints one only for steps that did not
// pass, because the tree shows the rest.
func (p *Display) printLine(s *Step, text string) {
	if p.opts.Terminal == nil {
		fmt.Fprintf(p.w, "%s %s: %s\n", p.opts.Now().Format(time.TimeOnly), s.name(), text)
		return
	}
	if s.state > passed {
		line := p.opts.Terminal.row([]piece{symbols[s.state], {" " + s.name() + " " + text, plain}}, math.MaxInt)
		io.WriteString(p.w, p.erase()+line.text+"\n")
	}
}

// redraw replaces the tree on the terminal, in one write so that it does not
// flicker. Each write leaves the terminal's modes as they were, because the
// process may be killed at any time.
func (p *Display) redraw() {
	if p.closed || p.opts.Terminal == nil {
		return
	}
	columns, rows := p.opts.Terminal.size()
	tree := p.tree(columns, rows)
	if slices.Equal(tree, p.drawn) {
		return
	}
	var b strings.Builder
	b.WriteString(hideCursor + stopWrapping + p.erase())
	for _, r := range tree {
		b.WriteString(r.text + "\n")
	}
	b.WriteString(startWrapping + showCursor)
	io.WriteString(p.w, b.String())
	p.drawn = tree
}

const (
	hideCursor    = "\x1b[?25l"
	showCursor    = "\x1b[?25h"
	stopWrapping  = "\x1b[?7l" // so that a character of unexpected width affects its line only
	startWrapping = "\x1b[?7h"
)

// erase returns the sequence that removes the tree from the terminal. It assumes
// that a terminal that has become narrower wrapped the rows, as nearly all do.
func (p *Display) erase() string {
	if len(p.drawn) == 0 {
		return ""
	}
	columns, _ := p.opts.Terminal.size()
	up := 0
	for _, r := range p.drawn {
		up += max(1, (r.cells+columns-1)/columns)
	}
	p.drawn = nil
	return fmt.Sprintf("\x1b[%dA\r\x1b[J", up)
}
