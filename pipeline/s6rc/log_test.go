package s6rc_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

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
		s6rc.KindOutput, s6rc.KindStarting, s6rc.KindStarted, s6rc.KindStopping, s6rc.KindStopped, s6rc.KindOther, s6rc.KindReady,
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
			case s6rc.KindStarting: // again after it failed, which is one of the other lines
				expect(e, "", s6rc.KindStopped, s6rc.KindStarting)
			case s6rc.KindStarted:
				expect(e, s6rc.KindStarting)
			case s6rc.KindStopping:
				expect(e, s6rc.KindStarted)
			case s6rc.KindStopped:
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
	for line, want := range map[string]struct {
		kind    s6rc.Kind
		service string
		bad     bool
	}{
		"s6-rc: info: service x y: starting":                                                           {s6rc.KindStarting, "x y", false},
		"s6-rc: info: service x-é successfully started":                                                {s6rc.KindStarted, "x-é", false},
		"s6-rc: info: service a: stopping":                                                             {s6rc.KindStopping, "a", false},
		"s6-rc: info: service a successfully stopped":                                                  {s6rc.KindStopped, "a", false},
		"[ls.io-init] done.":                                                                           {s6rc.KindReady, "", false},
		"s6-rc: warning: unable to start service a: command exited 111":                                {s6rc.KindOther, "", true},
		"s6-rc: warning: unable to stop service a: command crashed with signal 9":                      {s6rc.KindOther, "", true},
		"s6-rc: warning: service a is marked as essential, not stopping it":                            {s6rc.KindOther, "", false},
		"s6-rc: info: bringing selected services up":                                                   {s6rc.KindOther, "", false},
		"s6-rc: fatal: timed out":                                                                      {s6rc.KindOther, "", true},
		"s6-rc-compile: fatal: invalid /x/type: must be oneshot, longrun, or bundle":                   {s6rc.KindOther, "", true},
		"s6-rc-compile: warning: source /x is empty":                                                   {s6rc.KindOther, "", false},
		"s6-rc-oneshot-run: fatal: unable to exec /a: b: No such file or directory":                    {s6rc.KindOther, "", true},
		"s6-supervise a b: warning: unable to spawn ./run (waiting 60 seconds): Exec format error":     {s6rc.KindOther, "", true},
		"s6-supervise a: warning: finish script lifetime reached maximum value - sending it a SIGKILL": {s6rc.KindOther, "", true},
		"s6-svlisten: fatal: timed out":                                                                {s6rc.KindOther, "", true},
		"s6-svlisten1: fatal: timed out":                                                               {s6rc.KindOther, "", true},
		"s6-sudoc: fatal: unable to get exit status from server: Operation timed out":                  {s6rc.KindOther, "", true},
		"s6-overlay-suexec: fatal: can only run as pid 1":                                              {s6rc.KindOther, "", true},
		"/run/s6/basedir/scripts/rc.init: warning: hook /hook exited 3":                                {s6rc.KindOther, "", true},
		"/run/s6/basedir/scripts/rc.init: fatal: stopping the container.":                              {s6rc.KindOther, "", true},
		"s6-linux-init-shutdownd: warning: /run/s6/basedir/scripts/rc.shutdown exited 111":             {s6rc.KindOther, "", true},
		"cont-init: info: running /etc/cont-init.d/02-fail":                                            {s6rc.KindOther, "", false},
		"cont-init: info: /etc/cont-init.d/02-fail exited 4":                                           {s6rc.KindOther, "", true},
		"cont-finish: info: /etc/cont-finish.d/netbox exited 0":                                        {s6rc.KindOther, "", false},
		"services-up: info: copying legacy longrun leg (no readiness notification)":                    {s6rc.KindOther, "", false},
		"/package/admin/s6-overlay/libexec/preinit: info: read-only root":                              {s6rc.KindOther, "", false},
		"/package/admin/s6-overlay-3.1.6.2/libexec/preinit: fatal: /run belongs to uid 0 instead":      {s6rc.KindOther, "", true},
		"/run/s6/basedir/scripts/rc.init: 76: nosuchprogram: not found":                                {s6rc.KindOther, "", true},
		"/run/s6/basedir/scripts/rc.init: line 76: nosuchprogram: not found":                           {s6rc.KindOther, "", true}, // busybox
		" s6-rc: info: service a: starting":                                                            {s6rc.KindOutput, "", false},
		"":                                                                                             {s6rc.KindOutput, "", false},
	} {
		got := s6rc.ParseLine(line)
		if got.Kind != want.kind || got.Service != want.service || got.Bad() != want.bad || got.Text != line {
			t.Errorf("%q: got %+v, bad: %t; want %+v", line, got, got.Bad(), want)
		}
	}
}

// Whatever a container prints, the parser keeps it and does not fall over.
func FuzzParseLine(f *testing.F) {
	f.Add("s6-rc: warning: unable to start service a: command exited 99999999999999999999")
	f.Add("\x00\xff\r\n: :")
	f.Fuzz(func(t *testing.T, line string) {
		if e := s6rc.ParseLine(line); e.Text != line || e.Bad() && e.Kind != s6rc.KindOther {
			t.Errorf("%+v", e)
		}
	})
}
