package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/progress"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
	"github.com/linuxserver/docker-netbox/pipeline/s6rc/recording"
	"github.com/linuxserver/docker-netbox/pipeline/smoke"
)

// goodRun returns the output of a container that boots, passes all checks and is
// stopped: a recorded boot and the lines of the probe.
func goodRun(t *testing.T) (boot, answers, terminating []string) {
	t.Helper()
	cases, err := recording.ReadAll(os.DirFS("s6rc/testdata/recorded"))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range cases[0].Output() {
		boot = append(boot, l.Text)
		if s6rc.ParseLine(l.Text).Kind == s6rc.KindReady {
			break
		}
	}
	for _, l := range cases[0].Output()[len(boot):] { // the started lines after the ready line
		if s6rc.ParseLine(l.Text).Kind == s6rc.KindStarted {
			boot = append(boot, l.Text)
		}
	}
	for _, c := range smoke.Checks() {
		answers = append(answers, probeLine(t, smoke.Message{Result: &smoke.Result{Check: c.ID, OK: true}}))
	}
	answers = append(answers, probeLine(t, smoke.Message{Summary: &smoke.Summary{Checks: len(smoke.Checks())}}))
	return boot, answers, []string{probeLine(t, smoke.Message{StopTime: new(time.Now())})}
}

// probeLine returns the line of a probe message.
func probeLine(t *testing.T, m smoke.Message) string {
	t.Helper()
	var text strings.Builder
	if err := m.Write(&text); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(text.String())
}

// A phase has passed only if the container went through all of it.
func TestEveryPhaseOfARunHasItsOwnResult(t *testing.T) {
	tree, err := s6rc.Load(recording.BaseTree())
	if err != nil {
		t.Fatal(err)
	}
	up, answers, terminating := goodRun(t)
	dying := []string{"OSError: Address already in use", "[netbox] svc-netbox ended with status 1"}
	var unlogged []string // exits that the image does not log, between the output of others
	for n := range 3 {
		death := probeLine(t, smoke.Message{Exit: &smoke.Exit{Service: "svc-cron", Count: n + 1, How: "ended with status 3"}})
		unlogged = append(unlogged, fmt.Sprintf("cron %d: there is no spool", 100+n), fmt.Sprintf("migration %c", 'a'+n), death)
	}
	glued := func(lines []string) (out []string) {
		for _, l := range lines {
			if s6rc.ParseLine(l).Kind == s6rc.KindReady {
				l = "a service's word " + l
			}
			out = append(out, l)
		}
		return out
	}
	for name, test := range map[string]struct {
		lines []string
		code  int
		took  time.Duration // from SIGTERM to the end
		err   error
		boot  report.Verdict
		smoke report.Verdict
		stop  report.Verdict
		says  string
	}{
		"all is well":                      {lines: slices.Concat(up, answers, terminating), took: time.Second, boot: report.Passed, smoke: report.Passed, stop: report.Passed},
		"nothing was written":              {boot: report.Failed, smoke: report.Skipped, stop: report.Skipped, says: "ended with status 0"},
		"it ends while booting":            {lines: up[:3], code: 1, boot: report.Failed, smoke: report.Skipped, stop: report.Skipped, says: "ended with status 1"},
		"it never says that it is done":    {lines: slices.Concat(glued(up), answers, terminating), boot: report.Failed, smoke: report.Skipped, stop: report.Skipped, says: "before all services were up"},
		"an answer is lost":                {lines: slices.Concat(up, answers[1:], terminating), boot: report.Passed, smoke: report.Failed, stop: report.Passed, says: "no finding for ready"},
		"it ends when all is answered":     {lines: slices.Concat(up, answers, nil), code: 3, boot: report.Passed, smoke: report.Failed, stop: report.Skipped, says: "ended with status 3 before it was asked to stop"},
		"a service fails":                  {lines: append([]string{"s6-rc: warning: unable to start service x: command exited 1"}, slices.Concat(up, answers, terminating)...), boot: report.Failed, smoke: report.Passed, stop: report.Passed, says: "(log line 1)"},
		"it stops with an error":           {lines: slices.Concat(up, answers, terminating), code: 111, boot: report.Passed, smoke: report.Passed, stop: report.Failed, says: "status 111 after SIGTERM"},
		"it stops late":                    {lines: slices.Concat(up, answers, terminating), took: 16 * time.Second, boot: report.Passed, smoke: report.Passed, stop: report.Failed, says: "16.0 s"},
		"it never stops":                   {lines: slices.Concat(up, answers, terminating), err: errors.New("not ended after 10m"), boot: report.Passed, smoke: report.Passed, stop: report.Failed, says: "not ended after 10m"},
		"it is asked until the time is up": {lines: slices.Concat(up, answers[:2], nil), err: errors.New("not ended after 10m"), boot: report.Passed, smoke: report.Failed, stop: report.Skipped, says: "not ended after 10m"},
		"it dies again and again": {lines: slices.Concat(up[:1], dying, dying, dying), boot: report.Failed, smoke: report.Skipped, stop: report.Skipped,
			says: "svc-netbox ended 3 times, the last time it ended with status 1; its last line: OSError: Address already in use"},
		"a service dies again and again, and nothing is logged": {lines: slices.Concat(up[:1], unlogged), boot: report.Failed, smoke: report.Skipped, stop: report.Skipped,
			says: "svc-cron ended 3 times, the last time it ended with status 3; its last line: cron 102: there is no spool"},
		"a service dies twice": {lines: slices.Concat(unlogged[:6], up, answers, terminating), boot: report.Passed, smoke: report.Passed, stop: report.Passed},
		"a service dies in silence": {lines: slices.Concat(up[:1], unlogged[2:3], unlogged[5:6], unlogged[8:]), boot: report.Failed, smoke: report.Skipped, stop: report.Skipped,
			says: "svc-cron ended 3 times, the last time it ended with status 3"},
		"its services never come up": {err: errors.New("container postgres: not ready"), boot: report.Failed, smoke: report.Skipped, stop: report.Skipped, says: "container postgres: not ready"},
	} {
		t.Run(name, func(t *testing.T) {
			clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			now := func() time.Time { return clock }
			display := progress.New(io.Discard, progress.Options{Now: now})
			defer display.Close()
			p := &Pipeline{Options: Options{Now: now}, stages: stages{display, now, report.NewBuilder(report.Report{}, now)}}
			run, cancel := context.WithCancelCause(t.Context())
			b := p.newBoot("linux/amd64", len(tree.Closure("top")), cancel)
			result := engine.RunResult{ExitCode: test.code}
			for i, text := range test.lines {
				line := engine.Line{Text: text, At: time.Duration(i+1) * time.Millisecond}
				b.line("netbox", line)
				result.Lines = append(result.Lines, line)
			}
			result.Ended = clock.Add(test.took)
			clock = clock.Add(time.Minute) // while the sidecars stop
			if run.Err() != nil {
				test.err = context.Cause(run)
			}
			failed, err := b.evaluate(tree, result, test.err)
			if test.boot == report.Passed && len(failed) > 0 || run.Err() != nil && len(failed) != 1 {
				t.Errorf("services that did not come up: %q", failed)
			}

			got := map[string]report.Verdict{}
			for _, s := range p.Report().Stages {
				got[s.Stage] = s.Verdict()
			}
			for phase, want := range map[string]report.Verdict{"boot": test.boot, "smoke": test.smoke, "stop": test.stop} {
				if got[phase] != want {
					t.Errorf("%s: %q, want %q", phase, got[phase], want)
				}
			}
			if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
				t.Errorf("error %v, want %q", err, test.says)
			}
			if test.smoke == report.Passed && p.Report().Platforms[0].Boot.FirstOK < float64(len(up))/1000 {
				t.Errorf("first answered after %g s, want the time of the finding's line", p.Report().Platforms[0].Boot.FirstOK)
			}
			if test.stop == report.Passed && p.Report().Platforms[0].Boot.Stop != test.took.Seconds() {
				t.Errorf("stopped in %g s, want %s", p.Report().Platforms[0].Boot.Stop, test.took)
			}
		})
	}
}

func TestBootLinesShowProgress(t *testing.T) {
	_, answers, _ := goodRun(t)
	b := &boot{services: 40}
	for _, line := range []struct{ text, want string }{
		{"s6-rc: info: service init-adduser: starting", "s6-rc: info: service init-adduser: starting"},
		{"s6-rc: info: service init-adduser successfully started", "s6-rc: info: service init-adduser successfully started (1 of 40)"},
		{"s6-rc: info: service svc-netbox successfully started", "s6-rc: info: service svc-netbox successfully started (2 of 40)"},
		{answers[0], fmt.Sprintf("check 1 of %d passed: %s: ", len(smoke.Checks()), smoke.Checks()[0].ID)},
	} {
		if got := b.withProgress(line.text); !strings.HasPrefix(got, line.want) {
			t.Errorf("%q is shown as %q, want %q", line.text, got, line.want)
		}
	}
}
