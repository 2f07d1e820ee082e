package s6rc_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
	"github.com/linuxserver/docker-netbox/pipeline/s6rc/recording"
)

// s6Like is what only s6-overlay prints, in words wider than the parser's own
// rules: a line of this look that stays KindOutput was forgotten.
var s6Like = regexp.MustCompile(`^(s6-[a-z0-9-]+( \S+)?: |cont-init: |cont-finish: |fix-attrs: |services-up: |/package/admin/s6-overlay\S*: |/run/s6/basedir/scripts/\S+: )`)

func events(c recording.Case) []s6rc.Event {
	var events []s6rc.Event
	for i, l := range c.Output() {
		e := s6rc.ParseLine(l.Text)
		e.At, e.Line = l.At, i+1
		events = append(events, e)
	}
	return events
}

func TestEveryRecordedLineOfS6IsUnderstood(t *testing.T) {
	seen := map[s6rc.Kind]int{}
	for _, c := range recorded(t) {
		output := c.Output()
		for i, e := range events(c) {
			l := output[i]
			seen[e.Kind]++
			if e.Kind == s6rc.KindOutput && s6Like.MatchString(l.Text) {
				t.Errorf("%s: not understood: %s", c.Name(), l.Text)
			}
			if e.Kind != s6rc.KindOutput && e.Kind != s6rc.KindReady && !s6Like.MatchString(l.Text) {
				t.Errorf("%s: taken for s6's (%s): %s", c.Name(), e.Kind, l.Text)
			}
		}
	}
	for _, kind := range []s6rc.Kind{
		s6rc.KindOutput, s6rc.KindStarting, s6rc.KindStarted, s6rc.KindStopping, s6rc.KindStopped, s6rc.KindFailedUp,
		s6rc.KindFailedDown, s6rc.KindEssential, s6rc.KindTimedOut, s6rc.KindPhase, s6rc.KindCompileFatal,
		s6rc.KindCompileWarning, s6rc.KindCompileTrace, s6rc.KindCannotExec, s6rc.KindReadinessTimeout,
		s6rc.KindOneshotTimeout, s6rc.KindFailedForGood, s6rc.KindCannotSpawn, s6rc.KindFinishTooLong,
		s6rc.KindBootFailed, s6rc.KindGivingUp, s6rc.KindHookFailed, s6rc.KindShutdownError, s6rc.KindPreinit,
		s6rc.KindNotPID1, s6rc.KindInitFailed, s6rc.KindContInit, s6rc.KindContFinish, s6rc.KindFixAttrs,
		s6rc.KindServicesUp, s6rc.KindScript, s6rc.KindTool, s6rc.KindReady,
	} {
		if seen[kind] == 0 {
			t.Errorf("no recorded line is of kind %q", kind)
		}
	}
}

// A service that stops was up, one that is up was starting, a failure has its
// start before it, and a boot that ended well says nothing bad.
func TestEventsOfEveryCaseFitTogether(t *testing.T) {
	for _, c := range recorded(t) {
		if c.Env["S6_VERBOSITY"] < "2" || c.Env["S6_VERBOSITY"] > "5" {
			continue // the lines that follow one another are not all there
		}
		if strings.Contains(strings.Join(c.Command, " "), "/run/uncaught-logs/current") {
			continue // the command prints the log once more
		}
		state := map[string]s6rc.Kind{}
		expect := func(e s6rc.Event, before ...s6rc.Kind) {
			t.Helper()
			if !slices.Contains(before, state[e.Service]) {
				t.Errorf("%s line %d: %q after %q", c.Name(), e.Line, e.Text, state[e.Service])
			}
			state[e.Service] = e.Kind
		}
		for _, e := range events(c) {
			switch e.Kind {
			case s6rc.KindStarting:
				expect(e, "", s6rc.KindStopped, s6rc.KindFailedUp)
			case s6rc.KindStarted, s6rc.KindFailedUp:
				expect(e, s6rc.KindStarting)
			case s6rc.KindStopping:
				expect(e, s6rc.KindStarted)
			case s6rc.KindStopped, s6rc.KindFailedDown:
				expect(e, s6rc.KindStopping)
			}
			if e.Service != "" && strings.ContainsAny(e.Service, ":/") {
				t.Errorf("%s: service %q misread in %q", c.Name(), e.Service, e.Text)
			}
		}
	}
}

func TestBadTellsAGoodBootFromABadOne(t *testing.T) {
	for _, c := range recorded(t) {
		bad := false
		for _, e := range events(c) {
			bad = bad || e.Bad()
		}
		switch {
		case c.File == "01-clean-boot" || c.File == "19-order-repeats" || c.File == "02-verbosity":
			if bad {
				t.Errorf("%s: a clean boot is called bad", c.Name())
			}
		case c.File == "05-oneshot-fails" && c.End.Code == 1 && c.Env["S6_VERBOSITY"] == "2":
			if !bad {
				t.Errorf("%s (%s): nothing bad is seen", c.Name(), c.Label)
			}
		}
	}
}

func TestParseLineFillsTheEvent(t *testing.T) {
	for line, want := range map[string]s6rc.Event{
		"s6-rc: info: service x y: starting":                                      {Kind: s6rc.KindStarting, Service: "x y"},
		"s6-rc: info: service x-é successfully started":                           {Kind: s6rc.KindStarted, Service: "x-é"},
		"s6-rc: warning: unable to start service a: command exited 111":           {Kind: s6rc.KindFailedUp, Service: "a", Code: 111},
		"s6-rc: warning: unable to stop service a: command crashed with signal 9": {Kind: s6rc.KindFailedDown, Service: "a", Code: 9, Crashed: true},
		"s6-rc-oneshot-run: fatal: unable to exec /a: b: No such file or directory": {
			Kind: s6rc.KindCannotExec, Program: "/a: b", Detail: "No such file or directory"},
		"s6-supervise a b: warning: unable to spawn ./run (waiting 60 seconds): Exec format error": {
			Kind: s6rc.KindCannotSpawn, Service: "a b", Detail: "Exec format error"},
		"s6-svlisten: fatal: timed out":                                             {Kind: s6rc.KindReadinessTimeout},
		"s6-svlisten1: fatal: timed out":                                            {Kind: s6rc.KindReadinessTimeout},
		"/run/s6/basedir/scripts/rc.init: warning: hook /hook exited 3":             {Kind: s6rc.KindHookFailed, Program: "/hook", Severity: "warning", Code: 3},
		"cont-init: info: /etc/cont-init.d/02-fail exited 4":                        {Kind: s6rc.KindContInit, Program: "/etc/cont-init.d/02-fail", Code: 4},
		"services-up: info: copying legacy longrun leg (no readiness notification)": {Kind: s6rc.KindServicesUp, Service: "leg"},
		"/package/admin/s6-overlay/libexec/preinit: info: read-only root":           {Kind: s6rc.KindPreinit, Severity: "info", Detail: "read-only root"},
		"/run/s6/basedir/scripts/rc.init: 76: nosuchprogram: not found": {
			Kind: s6rc.KindScript, Program: "/run/s6/basedir/scripts/rc.init", Detail: "nosuchprogram: not found"},
		"/run/s6/basedir/scripts/rc.init: line 76: nosuchprogram: not found": { // busybox
			Kind: s6rc.KindScript, Program: "/run/s6/basedir/scripts/rc.init", Detail: "nosuchprogram: not found"},
		" s6-rc: info: service a: starting": {Kind: s6rc.KindOutput},
		"":                                  {Kind: s6rc.KindOutput},
	} {
		want.Text = line
		if got := s6rc.ParseLine(line); got != want {
			t.Errorf("%q:\n got %+v\nwant %+v", line, got, want)
		}
	}
}

func TestParseLogNumbersAndStampsLines(t *testing.T) {
	stamp := func(line string) (time.Duration, string) {
		var ms int
		rest := line
		if _, err := fmt.Sscanf(line, "%d", &ms); err == nil {
			_, rest, _ = strings.Cut(line, " ")
		}
		return time.Duration(ms) * time.Millisecond, rest
	}
	got, err := s6rc.ParseLog(strings.NewReader("12 s6-rc: info: service a: starting\r\nhello\n34 [ls.io-init] done."), stamp)
	want := []s6rc.Event{
		{Kind: s6rc.KindStarting, Service: "a", At: 12 * time.Millisecond, Line: 1, Text: "s6-rc: info: service a: starting"},
		{Kind: s6rc.KindOutput, Line: 2, Text: "hello"},
		{Kind: s6rc.KindReady, At: 34 * time.Millisecond, Line: 3, Text: "[ls.io-init] done."},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// Whatever a container prints, the parser keeps it and does not fall over.
func FuzzParseLog(f *testing.F) {
	f.Add("s6-rc: info: service a: starting\ns6-rc: warning: unable to start service a: command exited 99999999999999999999\n")
	f.Add("\x00\xff\n\r\n: :\n")
	f.Fuzz(func(t *testing.T, log string) {
		got, err := s6rc.ParseLog(strings.NewReader(log), nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.Count(log, "\n"); len(got) != want && len(got) != want+1 {
			t.Errorf("%d events of %d lines", len(got), want)
		}
		for _, e := range got {
			e.Bad()
		}
	})
}
