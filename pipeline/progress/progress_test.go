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

// ticking is a clock that the test advances.
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
	index := p.Step("index", "")
	index.WorkDone()
	clock.pass(time.Second)
	index.End(nil)
	stop, begun := p.Step("stop", ""), clock.Now()
	clock.pass(5 * time.Second)
	stop.EndAt(begun.Add(2*time.Second), nil)
	p.Step("smoke", "").End(fmt.Errorf("asking: %w", context.Canceled))
	p.Step("publish", "")
	p.Interrupt()
	p.Interrupt()
	p.Close()
	p.Close()
	p.Interrupt()
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
12:04:06 index: started
12:04:06 index: done after 0.0 s, not judged yet
12:04:07 index: passed in 0.0 s
12:04:07 stop: started
12:04:12 stop: passed in 2.0 s
12:04:12 smoke: started
12:04:12 smoke: stopped after 0.0 s
12:04:12 publish: started
12:04:12 interrupted: stopping everything that was started
12:04:12 publish: stopped after 0.0 s
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

// screen emulates the part of a terminal that the display uses.
type screen struct {
	t        *testing.T
	lines    []string
	row      int
	hidden   bool
	straight bool // line wrapping is off
}

var control = regexp.MustCompile("^\x1b\\[(\\?(25|7)[hl]|[0-9;]*[AJm])")

func (s *screen) Write(b []byte) (int, error) {
	for rest := string(b); rest != ""; {
		for s.row >= len(s.lines) {
			s.lines = append(s.lines, "")
		}
		switch m := control.FindString(rest); {
		case strings.HasPrefix(m, "\x1b[?25"):
			s.hidden = strings.HasSuffix(m, "l")
			rest = rest[len(m):]
		case strings.HasPrefix(m, "\x1b[?7"):
			s.straight = strings.HasSuffix(m, "l")
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
		case strings.HasSuffix(m, "m"):
			s.lines[s.row] += "<" + m[2:len(m)-1] + ">"
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
	if s.hidden || s.straight {
		s.t.Error("a process that is killed now leaves the terminal without its cursor, or without wrapping")
	}
	return len(b), nil
}

// shows compares the screen with want, ignoring trailing blanks.
func (s *screen) shows(want string) {
	s.t.Helper()
	var got strings.Builder
	for _, line := range s.lines {
		fmt.Fprintln(&got, strings.TrimRight(line, " "))
	}
	if got, want := strings.TrimSpace(got.String()), strings.TrimSpace(want); got != want {
		s.t.Errorf("got\n%s\n\nwant\n%s", got, want)
	}
}

// terminal returns a terminal of the given size, which the test may change.
func terminal(columns, rows *int) *progress.Terminal {
	return &progress.Terminal{Unicode: true, Size: func() (int, int) { return *columns, *rows }}
}

func TestATerminalShowsTheTreeOfStagesAndPlatforms(t *testing.T) {
	s := &screen{t: t}
	columns, rows := 60, 24
	clock := newClock()
	p := progress.New(s, progress.Options{Terminal: terminal(&columns, &rows), Now: clock.Now})
	p.Step("readme", "").End(nil)
	arm, amd := p.Step("build", "linux/arm64"), p.Step("build", "linux/amd64")
	p.Step("sidecars", "").End(nil)
	fmt.Fprintf(amd, "first\n\x1b]0;title\x07\x1b[2Jsecond\tline \x1b[31mred\x1b[0m\nhalf a li")
	fmt.Fprintf(arm, "%s\n", strings.Repeat("構築", 40))
	clock.pass(75 * time.Second)
	amd.End(nil)
	boot := p.Step("boot", "linux/amd64")
	clock.pass(9500 * time.Millisecond)
	boot.WorkDone()
	clock.pass(time.Second)
	smoke := p.Step("smoke", "linux/amd64")
	s.shows(`
✓ readme             0.0 s
linux/amd64
├ ✓ build           75.0 s
├ ○ boot             9.5 s  done, not judged yet
└ ● smoke              0 s
linux/arm64
└ ● build            1m25s  ` + strings.Repeat("構築", 7) + `構…
✓ sidecars           0.0 s
1m25s  Ctrl-C stops everything that was started`)

	boot.End(errors.New("svc-netbox was started before init-netbox-config, which it depends on, was up"))
	s.shows(`
✗ boot linux/amd64 failed after 9.5 s
✓ readme             0.0 s
linux/amd64
├ ✓ build           75.0 s
├ ✗ boot             9.5 s  svc-netbox was started before …
└ ● smoke              0 s
linux/arm64
└ ● build            1m25s  ` + strings.Repeat("構築", 7) + `構…
✓ sidecars           0.0 s
1m25s  Ctrl-C stops everything that was started`)

	arm.Skip("there is no base")
	smoke.End(nil)
	p.Interrupt()
	s.shows(`
✗ boot linux/amd64 failed after 9.5 s
- build linux/arm64 skipped after 85.5 s: there is no base
✓ readme             0.0 s
linux/amd64
├ ✓ build           75.0 s
├ ✗ boot             9.5 s  svc-netbox was started before …
└ ✓ smoke            0.0 s
linux/arm64
└ - build           85.5 s  there is no base
✓ sidecars           0.0 s
1m25s  interrupted: stopping everything that was started`)

	p.Step("index", "")
	p.Close()
	s.shows(`
✗ boot linux/amd64 failed after 9.5 s
- build linux/arm64 skipped after 85.5 s: there is no base
✗ index stopped after 0.0 s`)
}

func TestATerminalMayTellNoSize(t *testing.T) {
	s := &screen{t: t}
	nothing := 0
	p := progress.New(s, progress.Options{Terminal: terminal(&nothing, &nothing), Now: newClock().Now})
	fmt.Fprintln(p.Step("build", ""), strings.Repeat("a", 100))
	p.Step("base", "").End(nil) // which paints
	s.shows(`
● build                0 s  ` + strings.Repeat("a", 50) + `…
✓ base               0.0 s
0 s  Ctrl-C stops everything that was started`)
	p.Close()
}

func TestALowTerminalShowsWhatRunsAndCountsTheRest(t *testing.T) {
	s := &screen{t: t}
	columns, rows := 80, 6
	p := progress.New(s, progress.Options{Terminal: terminal(&columns, &rows), Now: newClock().Now})
	for i := range 3 {
		p.Step(fmt.Sprintf("passed%d", i), "").End(nil)
	}
	for i := range 3 {
		p.Step(fmt.Sprintf("s%d", i), "linux/amd64")
	}
	s.shows(`
● s0 linux/amd64      0 s
● s1 linux/amd64      0 s
● s2 linux/amd64      0 s
0 s  Ctrl-C stops everything that was started, 3 steps passed`)
	rows = 4
	p.Step("s3", "")
	s.shows(`
● s2 linux/amd64      0 s
● s3                  0 s
0 s  Ctrl-C stops everything that was started, 3 steps passed, 2 not shown`)
	rows = 1
	p.Step("s4", "")
	s.shows(`0 s  Ctrl-C stops everything that was started, 3 steps passed, 5 not shown`)
	p.Close()
}

func TestColourIsWhatTheTerminalIsAskedFor(t *testing.T) {
	for _, test := range []struct {
		is   progress.Terminal
		want string
	}{
		{progress.Terminal{Unicode: true, Color: true}, `
<32>✓<0> base               0.0 s
<1>linux/a…<0>
<2>└ <0><36>●<0> build              0 s<2>  日本 – x<0>
<1>0 s<0><2>  Ctrl-C stops everything that was started<0>`},
		{progress.Terminal{Color: true}, "\n<32>+<0> base               0.0 s\n<1>linux/a.<0>\n<2>` <0><36>*<0> build              0 s<2>  ?? ? x<0>\n<1>0 s<0><2>  Ctrl-C stops everything that was started<0>"},
		{progress.Terminal{}, "\n+ base               0.0 s\nlinux/a.\n` * build              0 s  ?? ? x\n0 s  Ctrl-C stops everything that was started"},
	} {
		s := &screen{t: t}
		test.is.Size = func() (int, int) { return 80, 24 }
		p := progress.New(s, progress.Options{Terminal: &test.is, Now: newClock().Now})
		p.Step("base", "").End(nil)
		fmt.Fprintln(p.Step("build", "linux/a…"), "日本 – x")
		p.Interrupt()
		s.shows(strings.Replace(test.want, "Ctrl-C stops everything that was started", "interrupted: stopping everything that was started", 1))
		p.Close()
	}
}

func TestStepsMayRunAtOnce(t *testing.T) {
	columns, rows := 80, 24
	for _, is := range []*progress.Terminal{nil, terminal(&columns, &rows)} {
		s := &screen{t: t}
		p := progress.New(s, progress.Options{Terminal: is, Now: time.Now})
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				step := p.Step("build", fmt.Sprint(i))
				for range 200 {
					fmt.Fprintln(step, "line")
				}
				step.End(errors.New("too bad"))
			})
		}
		wg.Wait()
		p.Close()
		if got := strings.Join(s.lines, "\n"); strings.Count(got, "failed after") != 8 {
			t.Errorf("terminal %t: %d steps failed:\n%s", is != nil, strings.Count(got, "failed after"), got)
		}
	}
}

func TestTheLocaleSaysWhatATerminalIsSent(t *testing.T) {
	for _, test := range []struct {
		env  string
		want bool
	}{
		{"", false},
		{"LANG=C", false},
		{"LANG=en_GB.UTF-8", true},
		{"LANG=C.utf8", true},
		{"LANG=de_DE.ISO-8859-1", false},
		{"LANG=en_GB.UTF-8 LC_ALL=C", false},
		{"LANG=C LC_CTYPE=en_GB.UTF-8", true},
		{"LANG=en_GB.UTF-8 LC_ALL=", true},
	} {
		env := map[string]string{}
		for _, kv := range strings.Fields(test.env) {
			key, value, _ := strings.Cut(kv, "=")
			env[key] = value
		}
		if got := progress.UTF8Locale(func(key string) string { return env[key] }); got != test.want {
			t.Errorf("%q: %t, want %t", test.env, got, test.want)
		}
	}
}
