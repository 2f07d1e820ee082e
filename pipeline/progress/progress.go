// Package progress shows the running steps of a pipeline to people: on a
// terminal one live line a step, elsewhere plain lines with the time in front.
package progress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// Options of New. Now is required, Width too when TTY is set.
type Options struct {
	TTY   bool             // w is a terminal that understands escape sequences
	Width func() int       // its columns now; it may change
	Now   func() time.Time // the clock, in the zone that times are shown in
	Hide  func(string) string
	// Hide takes the secrets out of every line shown; nil shows lines as
	// they come.
}

const (
	// repaint is the time between two looks at a terminal's live lines.
	repaint = 100 * time.Millisecond
	// liveLines is how many steps are shown live; of the others the number.
	liveLines = 10
	// longestLine is where a line of log is cut when it does not end.
	longestLine = 64 << 10
)

// Display shows steps. It may be used by many goroutines at once.
type Display struct {
	opts Options
	stop chan struct{}
	done chan struct{}

	mu      sync.Mutex
	w       io.Writer
	running []*Step // in order of their start
	painted int     // live lines on the terminal now
	closed  bool
}

// New shows steps on w. Close it.
func New(w io.Writer, opts Options) *Display {
	if opts.Hide == nil {
		opts.Hide = func(s string) string { return s }
	}
	p := &Display{opts: opts, w: w, stop: make(chan struct{}), done: make(chan struct{})}
	if opts.TTY {
		go p.tick()
	} else {
		close(p.done)
	}
	return p
}

func (p *Display) tick() {
	defer close(p.done)
	ticker := time.NewTicker(repaint)
	defer ticker.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-ticker.C:
			p.mu.Lock()
			p.paint()
			p.mu.Unlock()
		}
	}
}

// Close tells of steps that have not ended, and leaves the terminal as it was
// found. Whatever steps do later is not shown. Close may be called twice.
func (p *Display) Close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	for _, s := range p.running {
		s.ended = true
		p.say(s, fmt.Sprintf("stopped after %s", seconds(p.opts.Now().Sub(s.start))))
	}
	p.running = nil
	if p.opts.TTY {
		p.paint()
		io.WriteString(p.w, showCursor)
	}
	p.closed = true
	p.mu.Unlock()
	close(p.stop)
	<-p.done
}

// Step starts a step: a stage, of one platform unless platform is empty. What
// is written to it are the lines of its log.
func (p *Display) Step(stage, platform string) *Step {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &Step{p: p, stage: stage, platform: platform, start: p.opts.Now()}
	if p.closed {
		s.ended = true
		return s
	}
	p.running = append(p.running, s)
	if p.opts.TTY {
		p.paint()
	} else {
		p.say(s, "started")
	}
	return s
}

// Step is one running step.
type Step struct {
	p               *Display
	stage, platform string
	start           time.Time

	// Under p.mu.
	partial []byte // the line being written
	last    string // the last whole line
	ended   bool
}

// Write takes lines of log in pieces of any size. It never fails.
func (s *Step) Write(b []byte) (int, error) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	n := len(b)
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		s.partial = append(s.partial, line...)
		if whole || len(s.partial) > longestLine {
			s.flush()
		}
		b = rest
	}
	return n, nil
}

// flush takes the partial line as a whole one.
func (s *Step) flush() {
	line := strings.TrimRight(s.p.opts.Hide(clean(string(s.partial))), " ")
	s.partial = s.partial[:0]
	if line == "" || s.ended {
		return
	}
	s.last = line
	if !s.p.opts.TTY {
		s.p.say(s, line)
	}
}

// End tells how the step went. Only the first End or Skip counts.
func (s *Step) End(err error) {
	verdict := "passed in %s"
	switch {
	case errors.Is(err, context.Canceled):
		verdict = "stopped after %s"
	case err != nil:
		verdict = "failed after %s: " + strings.ReplaceAll(strings.Join(failure.Lines(err), "; "), "%", "%%")
	}
	s.end(verdict)
}

// Skip tells that the step was not done, and why.
func (s *Step) Skip(why string) {
	s.end("skipped after %s: " + strings.ReplaceAll(why, "%", "%%"))
}

func (s *Step) end(verdict string) {
	p := s.p
	p.mu.Lock()
	defer p.mu.Unlock()
	s.flush()
	if s.ended {
		return
	}
	s.ended = true
	for i, r := range p.running {
		if r == s {
			p.running = append(p.running[:i], p.running[i+1:]...)
			break
		}
	}
	p.say(s, p.opts.Hide(clean(fmt.Sprintf(verdict, seconds(p.opts.Now().Sub(s.start))))))
	if p.opts.TTY {
		p.paint()
	}
}

func (s *Step) name() string {
	if s.platform == "" {
		return s.stage
	}
	return s.stage + " " + s.platform
}

// say writes a line that stays.
func (p *Display) say(s *Step, text string) {
	if !p.opts.TTY {
		fmt.Fprintf(p.w, "%s %s: %s\n", p.opts.Now().Format(time.TimeOnly), s.name(), text)
		return
	}
	io.WriteString(p.w, p.erase()+columns(s)+text+"\n")
}

// paint writes the live lines in the place of those on the terminal, in one
// write so that it does not flicker.
func (p *Display) paint() {
	if p.closed {
		return
	}
	var b strings.Builder
	b.WriteString(p.erase())
	if len(p.running) > 0 {
		b.WriteString(hideCursor)
	}
	// The last column stays free: some terminals wrap when it is filled.
	columnsLeft := p.opts.Width() - 1
	if columnsLeft < 1 { // a terminal that does not know its size
		columnsLeft = 79
	}
	for i, s := range p.running {
		line := fmt.Sprintf("%s%6s  %s", columns(s), clock(p.opts.Now().Sub(s.start)), s.last)
		if more := len(p.running) - i; i == liveLines-1 && more > 1 {
			line = fmt.Sprintf("and %d more", more)
		}
		b.WriteString(cut(line, columnsLeft) + "\n")
		p.painted++
		if p.painted == liveLines {
			break
		}
	}
	io.WriteString(p.w, b.String())
}

const (
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
)

// erase gives what takes the live lines off the terminal.
func (p *Display) erase() string {
	if p.painted == 0 {
		return ""
	}
	n := p.painted
	p.painted = 0
	return fmt.Sprintf("\x1b[%dA\r\x1b[J", n)
}

// columns gives the name of a step in columns.
func columns(s *Step) string {
	return fmt.Sprintf("%-13s %-12s ", s.stage, s.platform)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func clock(d time.Duration) string {
	s := int(d.Seconds())
	if s < 60 {
		return fmt.Sprintf("%ds", s)
	}
	return fmt.Sprintf("%dm%02ds", s/60, s%60)
}
