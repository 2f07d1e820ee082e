package progress_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/progress"
)

// ticking is a clock that is moved by hand.
type ticking struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *ticking { return &ticking{now: time.Date(2026, 3, 1, 12, 3, 4, 0, time.UTC)} }

func (c *ticking) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *ticking) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestPlainLinesHaveTimeStageAndPlatform(t *testing.T) {
	var out bytes.Buffer
	clock := newClock()
	p := progress.New(&out, progress.Options{Now: clock.Now})
	build := p.Step("build", "linux/arm64")
	fmt.Fprint(build, "one\ntw")
	clock.pass(time.Second)
	fmt.Fprint(build, "o\n\n\x1b[32mgreen\x1b[0m\n10%\r20%\r\nlast")
	clock.pass(61300 * time.Millisecond)
	build.End(nil)
	build.End(errors.New("too late"))
	fmt.Fprintln(build, "too late")
	p.Step("boot", "linux/arm64").End(errors.New("booting: svc-netbox did not start:\nlast line 100%"))
	p.Step("readme", "").Skip("nothing changed")
	p.Step("smoke", "").End(fmt.Errorf("asking: %w", context.Canceled))
	p.Step("publish", "")
	p.Close()
	p.Close()
	p.Step("after", "").End(nil)

	want := `12:03:04 build linux/arm64: started
12:03:04 build linux/arm64: one
12:03:05 build linux/arm64: two
12:03:05 build linux/arm64: green
12:03:05 build linux/arm64: 20%
12:04:06 build linux/arm64: last
12:04:06 build linux/arm64: passed in 62.3 s
12:04:06 boot linux/arm64: started
12:04:06 boot linux/arm64: failed after 0.0 s: booting: svc-netbox did not start:; last line 100%
12:04:06 readme: started
12:04:06 readme: skipped after 0.0 s: nothing changed
12:04:06 smoke: started
12:04:06 smoke: stopped after 0.0 s
12:04:06 publish: started
12:04:06 publish: stopped after 0.0 s
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSecretsAreHiddenAlsoWhenTheyArriveInPieces(t *testing.T) {
	var out bytes.Buffer
	hide := func(s string) string { return strings.ReplaceAll(s, "sesame", "***") }
	p := progress.New(&out, progress.Options{Now: newClock().Now, Hide: hide})
	s := p.Step("boot", "")
	fmt.Fprint(s, "password ses")
	fmt.Fprint(s, "ame\nses\x1b[1mame\n")
	s.End(errors.New("cannot log in with sesame"))
	p.Close()
	if got := out.String(); strings.Contains(got, "sesame") || strings.Count(got, "***") != 3 {
		t.Errorf("got\n%s", got)
	}
}

// screen is as much of a terminal as the display needs.
type screen struct {
	t      *testing.T
	width  int
	lines  []string
	row    int
	hidden bool
}

var control = regexp.MustCompile("^\x1b\\[(\\?25[hl]|[0-9]*[AJ])")

func (s *screen) Write(b []byte) (int, error) {
	for rest := string(b); rest != ""; {
		for s.row >= len(s.lines) {
			s.lines = append(s.lines, "")
		}
		switch m := control.FindString(rest); {
		case m == "\x1b[?25l" || m == "\x1b[?25h":
			s.hidden = m == "\x1b[?25l"
			rest = rest[len(m):]
		case strings.HasSuffix(m, "A"):
			n, _ := strconv.Atoi(m[2 : len(m)-1])
			if s.row -= n; s.row < 0 {
				s.t.Fatalf("moved above the first line")
			}
			rest = rest[len(m):]
		case m == "\x1b[J":
			s.lines = s.lines[:s.row]
			rest = rest[len(m):]
		case rest[0] == '\r':
			rest = rest[1:]
		case rest[0] == '\n':
			s.row++
			rest = rest[1:]
		default:
			end := strings.IndexAny(rest, "\n\r\x1b")
			if end <= 0 {
				s.t.Fatalf("the terminal does not know %q", rest)
			}
			s.lines[s.row] += rest[:end]
			rest = rest[end:]
		}
	}
	return len(b), nil
}

func (s *screen) text() string { return strings.TrimRight(strings.Join(s.lines, "\n"), "\n") }

func TestATerminalShowsOneLineAStepAndKeepsTheFinished(t *testing.T) {
	s := &screen{t: t, width: 60}
	clock := newClock()
	p := progress.New(s, progress.Options{TTY: true, Width: func() int { return s.width }, Now: clock.Now})
	amd, arm := p.Step("build", "linux/amd64"), p.Step("build", "linux/arm64")
	fmt.Fprintf(amd, "first\n\x1b]0;title\x07\x1b[2Jsecond\tline \x1b[31mred\x1b[0m\nhalf a li")
	fmt.Fprintf(arm, "%s\n", strings.Repeat("構築", 40))
	clock.pass(75 * time.Second)
	graph := p.Step("graph", "")
	graph.End(nil)
	want := []string{
		"graph                      passed in 0.0 s",
		"build         linux/amd64   1m15s  second line red",
		"build         linux/arm64   1m15s  " + strings.Repeat("構築", 5) + "構…",
	}
	if got := s.text(); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if !s.hidden {
		t.Error("the cursor blinks among the live lines")
	}
	amd.End(nil)
	arm.End(errors.New("RUN pip install failed"))
	p.Close()
	want = []string{
		"graph                      passed in 0.0 s",
		"build         linux/amd64  passed in 75.0 s",
		"build         linux/arm64  failed after 75.0 s: RUN pip install failed",
	}
	if got := s.text(); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if s.hidden {
		t.Error("the cursor stays hidden after Close")
	}
}

func TestATerminalIsNotFloodedByManySteps(t *testing.T) {
	s := &screen{t: t}
	p := progress.New(s, progress.Options{TTY: true, Width: func() int { return 80 }, Now: newClock().Now})
	for i := range 15 {
		p.Step(fmt.Sprintf("s%d", i), "")
	}
	if got := s.text(); strings.Count(got, "\n") != 9 || !strings.HasSuffix(got, "and 6 more") {
		t.Errorf("got\n%s", got)
	}
	p.Close()
	if got := s.text(); strings.Count(got, "stopped after") != 15 {
		t.Errorf("after Close\n%s", got)
	}
}

func TestStepsMayRunAtOnce(t *testing.T) {
	for _, tty := range []bool{false, true} {
		s := &screen{t: t}
		p := progress.New(s, progress.Options{TTY: tty, Width: func() int { return 80 }, Now: time.Now})
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				step := p.Step("build", fmt.Sprint(i))
				for range 200 {
					fmt.Fprintln(step, "line")
				}
				step.End(nil)
			})
		}
		wg.Wait()
		p.Close()
		if got := s.text(); strings.Count(got, "passed in") != 8 {
			t.Errorf("TTY %t: %d steps passed:\n%s", tty, strings.Count(got, "passed in"), got)
		}
	}
}
