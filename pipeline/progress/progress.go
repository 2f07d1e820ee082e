// Package progress shows the running steps of a pipeline to people: on a
// terminal a live tree of stages and platforms, elsewhere plain lines with the
// time in front.
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

// Options of New. Now is required.
type Options struct {
	Terminal *Terminal        // what w is; nil for anything that is no terminal
	Now      func() time.Time // the clock, in the zone that times are shown in
	Hide     func(string) string
	// Hide takes the secrets out of every line shown; nil shows lines as
	// they come.
}

// repaint is the time between two looks at a terminal's tree.
const repaint = 100 * time.Millisecond

// Display shows steps. It may be used by many goroutines at once.
type Display struct {
	opts  Options
	start time.Time

	mu          sync.Mutex
	w           io.Writer
	steps       []*Step // in order of their start
	interrupted bool
	closed      bool
	painted     []row // on the terminal now, above the cursor
}

// New shows steps on w. Close it.
func New(w io.Writer, opts Options) *Display {
	if opts.Hide == nil {
		opts.Hide = func(s string) string { return s }
	}
	p := &Display{opts: opts, start: opts.Now(), w: w}
	if opts.Terminal != nil {
		time.AfterFunc(repaint, p.tick)
	}
	return p
}

// tick paints the tree again and again, until the display is closed.
func (p *Display) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.paint()
		time.AfterFunc(repaint, p.tick)
	}
}

// Interrupt shows that the steps are being stopped, which takes them a moment.
func (p *Display) Interrupt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.interrupted {
		return
	}
	p.interrupted = true
	if p.opts.Terminal != nil {
		p.paint()
		return
	}
	fmt.Fprintf(p.w, "%s %s\n", p.opts.Now().Format(time.TimeOnly), stopping)
}

const stopping = "interrupted: stopping everything that was started"

// Close reports steps that have not ended, and takes the tree off the
// terminal: what came of the steps is for a table to say. Whatever steps do
// later is not shown. Close may be called twice.
func (p *Display) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	for _, s := range p.steps {
		if s.state <= worked {
			p.settle(s, stopped, "")
		}
	}
	if p.opts.Terminal != nil {
		io.WriteString(p.w, p.erase())
	}
	p.closed = true
}

// Step starts a step: a stage, of one platform unless platform is empty. What
// is written to it are the lines of its log.
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
	p.say(s, "started")
	p.paint()
	return s
}

// state is how far a step is.
type state int

const (
	running state = iota
	worked        // its work is done, what it came to is not known yet
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
	waited time.Duration // for another process, since start
	state  state
	end    time.Time    // of its work
	last   string       // the last line of log; what came of the step when it has ended
	log    bytes.Buffer // all lines, with their times since start
}

// mostLog bounds the log that is kept of one step, in bytes. What comes first
// is dropped first: the end says what went wrong.
const mostLog = 8 << 20

// Write takes lines of log in pieces of any size. It never fails.
func (s *Step) Write(b []byte) (int, error) { return s.lines.Write(b) }

// line takes a line of log.
func (s *Step) line(text string) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	fmt.Fprintf(&s.log, "%9.3f %s\n", s.p.opts.Now().Sub(s.start).Seconds(), strings.TrimRight(text, "\r "))
	if over := s.log.Len() - mostLog; over > 0 {
		s.log.Next(over)
		_, _ = s.log.ReadBytes('\n') // the rest of a line that was cut
	}
	text = strings.TrimRight(s.p.opts.Hide(clean(text)), " ")
	if text != "" && s.state <= worked {
		s.last = text
		s.p.say(s, text)
	}
}

// Show reports how far the step is, in the place of its last line of log. It
// comes too often to be kept: nobody but a terminal shows it.
func (s *Step) Show(text string) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if s.state == running {
		s.last = s.p.opts.Hide(clean(text))
	}
}

// Log is the whole log, with the secrets that are in it. Its lines have their
// times since the step's start, as the logs of containers do.
func (s *Step) Log() []byte {
	s.lines.Flush()
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	return bytes.Clone(s.log.Bytes())
}

// Waited takes the time that another process kept the step waiting off its
// clock: that is no part of its work.
func (s *Step) Waited(d time.Duration) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if s.state == running {
		s.waited += d
	}
}

// Work is when the work of the step began, which may have waited, and how long it
// took so far.
func (s *Step) Work() (began time.Time, took time.Duration) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	return s.start.Add(s.waited), s.elapsed()
}

// Worked reports that the work of the step is done, and stops its clock. What it
// came to is found out later, which End reports.
func (s *Step) Worked() {
	s.lines.Flush()
	p := s.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.state != running {
		return
	}
	s.end = p.opts.Now()
	s.state, s.last = worked, "done, not judged yet"
	p.say(s, fmt.Sprintf("done after %s, not judged yet", s.took()))
	p.paint()
}

// End reports how the step went. Only the first End or Skip counts.
func (s *Step) End(err error) { s.EndAt(time.Time{}, err) }

// EndAt is End of a step whose work was done at an earlier moment.
func (s *Step) EndAt(done time.Time, err error) {
	switch {
	case errors.Is(err, context.Canceled):
		s.settle(done, stopped, "")
	case err != nil:
		s.settle(done, failed, strings.Join(failure.Lines(err), "; "))
	default:
		s.settle(done, passed, "")
	}
}

// Skip reports that the step was not done, and why.
func (s *Step) Skip(why string) { s.settle(time.Time{}, skipped, why) }

// settle ends a step that has not ended. done is when its work was, if that is
// not known already; zero for now.
func (s *Step) settle(done time.Time, to state, why string) {
	s.lines.Flush()
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if s.state > worked {
		return
	}
	if s.state == running {
		s.end = done
	}
	s.p.settle(s, to, s.p.opts.Hide(clean(why)))
	s.p.paint()
}

// settle ends a step with a reason, if there is one.
func (p *Display) settle(s *Step, to state, why string) {
	if s.end.IsZero() {
		s.end = p.opts.Now()
	}
	s.state, s.last = to, why
	verdict := map[state]string{passed: "passed in ", failed: "failed after ", skipped: "skipped after ", stopped: "stopped after "}[to] + s.took()
	// Of why it failed the tree shows the beginning, the summary all of it.
	if why != "" && (p.opts.Terminal == nil || to != failed) {
		verdict += ": " + why
	}
	p.say(s, verdict)
}

// took is the time of the step's work so far, in words.
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

// say writes a line that stays. Of what the tree shows a terminal keeps only
// what did not pass.
func (p *Display) say(s *Step, text string) {
	if p.opts.Terminal == nil {
		fmt.Fprintf(p.w, "%s %s: %s\n", p.opts.Now().Format(time.TimeOnly), s.name(), text)
		return
	}
	if s.state > passed {
		line := p.opts.Terminal.row([]piece{looks[s.state], {" " + s.name() + " " + text, plain}}, math.MaxInt)
		io.WriteString(p.w, p.erase()+line.text+"\n")
	}
}

// paint writes the tree in the place of the one on the terminal, in one write
// so that it does not flicker. After each write the terminal is as sane as it
// was before, for the process may be killed at any time.
func (p *Display) paint() {
	if p.closed || p.opts.Terminal == nil {
		return
	}
	columns, rows := p.opts.Terminal.size()
	tree := p.tree(columns, rows)
	if slices.Equal(tree, p.painted) {
		return
	}
	var b strings.Builder
	b.WriteString(hideCursor + stopWrapping + p.erase())
	for _, r := range tree {
		b.WriteString(r.text + "\n")
	}
	b.WriteString(startWrapping + showCursor)
	io.WriteString(p.w, b.String())
	p.painted = tree
}

const (
	hideCursor    = "\x1b[?25l"
	showCursor    = "\x1b[?25h"
	stopWrapping  = "\x1b[?7l" // so that a wrongly measured character costs its line only
	startWrapping = "\x1b[?7h"
)

// erase returns what takes the tree off the terminal. A terminal that has become
// narrower since may have wrapped its rows, as nearly all do.
func (p *Display) erase() string {
	if len(p.painted) == 0 {
		return ""
	}
	columns, _ := p.opts.Terminal.size()
	up := 0
	for _, r := range p.painted {
		up += max(1, (r.cells+columns-1)/columns)
	}
	p.painted = nil
	return fmt.Sprintf("\x1b[%dA\r\x1b[J", up)
}
