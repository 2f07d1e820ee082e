package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
	"github.com/linuxserver/docker-netbox/pipeline/s6rc/recording"
)

// compare lists in what a replay differs from its recording, beyond what two
// recordings of one case differ in.
func compare(want recording.Case, s scope, got recording.Case) []string {
	var problems []string
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }

	if w, g := want.End, got.End; !s.end && (w.Code != g.Code || w.Signal != g.Signal || w.ByRecorder != g.ByRecorder) {
		problem("it ended differently")
	}
	if w, g := min(sinceLastAction(want), grace(want)), sinceLastAction(got); !want.End.ByRecorder && g < w-200*time.Millisecond {
		problem("its end took %s, S6_KILL_GRACETIME is %s", g, w)
	}
	for _, kind := range []struct {
		name string
		of   func(recording.Line) bool
	}{
		{"s6", isS6},
		{"output", func(l recording.Line) bool { return l.From == recording.Container && !isS6(l) }},
		{"exec", func(l recording.Line) bool { return l.From == recording.Exec }},
	} {
		missing, extra := difference(lines(want, kind.of, s), lines(got, kind.of, s))
		for _, l := range missing {
			// A longrun without readiness counts as up before it speaks.
			if !strings.HasSuffix(l, "svc-cron ran") && !s.matches(s.late, l) {
				problem("%s line missing: %s", kind.name, l)
			}
		}
		for _, l := range extra {
			problem("%s line not in the recording: %s", kind.name, l)
		}
	}
	return append(problems, order(want, got)...)
}

// isS6 reports whether a line is one of s6, s6-rc and s6-overlay, not of a service.
func isS6(l recording.Line) bool {
	return l.From == recording.Container && s6rc.ParseLine(l.Text).Kind != s6rc.KindOutput
}

// lines returns the text of some lines, without what differs each time.
func lines(c recording.Case, of func(recording.Line) bool, s scope) []string {
	var texts []string
	for _, l := range c.Lines {
		if !of(l) {
			continue
		}
		text := mask(l)
		if s.matches(s.ignore, text) {
			continue
		}
		if l.Stream != 0 {
			text = fmt.Sprintf("%d| %s", l.Stream, text)
		}
		if s.matches(s.repeats, text) && slices.Contains(texts, text) {
			continue
		}
		texts = append(texts, text)
	}
	return texts
}

// What no two runs have in common, and what stands for it.
var masks = []struct {
	expression *regexp.Regexp
	instead    string
}{
	{regexp.MustCompile(`s6-rc-init:\w{6}`), "s6-rc-init:XXXXXX"},
	// What cannot be started: the real one's scripts name a line of theirs, and
	// the shell has words of its own.
	{regexp.MustCompile(`^(/\S+/scripts/\S+): (?:\d+: |fatal: unable to exec )(.*?): (?:not found|No such file or directory)$`), "$1: unable to exec $2: not found"},
	{regexp.MustCompile(`^(/\S+/scripts/\S+): (?:\d+: |fatal: unable to exec )(.*?): Permission denied$`), "$1: unable to exec $2: Permission denied"},
	{regexp.MustCompile(`@[0-9a-f]{24}`), "@TIME"},
	{regexp.MustCompile(`^([dlps-][rwxsStT-]{9}) .* \d\d:\d\d (.*)$`), "$1 $2"}, // ls -l
	{regexp.MustCompile(`^total \d+$`), "total N"},
	// From s6 2.13 on, which the image has, svstat knows the process group,
	// and finish gets it as its fourth argument.
	{regexp.MustCompile(`\(pid (\d+) pgid \d+\)`), "(pid $1)"},
	{regexp.MustCompile(`(finish\b.* svc-netbox|finish \d+ \d+ \w+) \d+$`), "$1"},
	{regexp.MustCompile(`(finish: )4 args`), "${1}3 args"},
	{regexp.MustCompile(`\b\d+ seconds`), "N seconds"},
	{regexp.MustCompile(`\d\d+(\.\d+)?`), "NN"},
}

// ofS6 is how many of the masks are for s6's own lines too.
const ofS6 = 3

// mask replaces what no two runs have in common.
func mask(l recording.Line) string {
	text := l.Text
	for i, m := range masks {
		if i >= ofS6 && isS6(l) {
			break
		}
		text = m.expression.ReplaceAllString(text, m.instead)
	}
	return text
}

// difference compares without regard to order, but for the number.
func difference(want, got []string) (missing, extra []string) {
	count := map[string]int{}
	for _, l := range got {
		count[l]++
	}
	for _, l := range want {
		if count[l]--; count[l] < 0 {
			missing = append(missing, l)
		}
	}
	for _, l := range got {
		if count[l] > 0 {
			count[l]--
			extra = append(extra, l)
		}
	}
	return missing, extra
}

// sinceLastAction is how long the container lived on after the last thing
// that was done to it.
func sinceLastAction(c recording.Case) time.Duration {
	var last time.Duration
	for _, l := range c.Lines {
		if l.From == recording.Recorder || l.From == recording.Exec || strings.HasPrefix(l.Text, "CMD") {
			last = l.At
		}
	}
	return c.End.After - last
}

// grace is what the container waits at its end.
func grace(c recording.Case) time.Duration {
	ms, err := strconv.Atoi(c.Env["S6_KILL_GRACETIME"])
	if err != nil {
		ms = 3000
	}
	return time.Duration(ms) * time.Millisecond
}

// order checks that the services follow each other as the tree wants it, and
// that those which start, or stop, in one go do it in the recorded order.
func order(want, got recording.Case) []string {
	var problems []string
	at := map[s6rc.Kind]map[string]int{}
	for i, e := range events(got) {
		if at[e.Kind] == nil {
			at[e.Kind] = map[string]int{}
		}
		at[e.Kind][e.Service] = i + 1 // so that 0 is never
	}
	after := func(kind s6rc.Kind, service string, earlier s6rc.Kind, other string) {
		i, j := at[kind][service], at[earlier][other]
		if i > 0 && (j == 0 || j > i) {
			problems = append(problems, fmt.Sprintf("order: %s %s comes without or before %s %s", service, kind, other, earlier))
		}
	}
	if files, ok := want.Tree(); ok {
		tree, err := s6rc.Load(files)
		if err != nil {
			if len(at) > 0 {
				problems = append(problems, "order: services of an invalid tree are started")
			}
			return problems
		}
		for _, s := range tree.Services {
			after(s6rc.KindStarted, s.Name, s6rc.KindStarting, s.Name)
			after(s6rc.KindStopping, s.Name, s6rc.KindStarted, s.Name)
			after(s6rc.KindStopped, s.Name, s6rc.KindStopping, s.Name)
			for _, d := range s.Deps {
				after(s6rc.KindStarting, s.Name, s6rc.KindStarted, d.Name)
				if at[s6rc.KindStarted][s.Name] > 0 {
					after(s6rc.KindStopping, d.Name, s6rc.KindStopped, s.Name)
				}
			}
		}
	}
	recorded := batches(want)
	for set, names := range batches(got) {
		if other, ok := recorded[set]; ok && other != names {
			problems = append(problems, fmt.Sprintf("order: together %s, recorded %s", names, other))
		}
	}
	return problems
}

func events(c recording.Case) []s6rc.Event {
	var all []s6rc.Event
	for _, l := range c.Lines {
		if l.From == recording.Container {
			if e := s6rc.ParseLine(l.Text); e.Service != "" && e.Kind != s6rc.KindOutput {
				all = append(all, e)
			}
		}
	}
	return all
}

// batches are the services that s6-rc announced in one breath, by the set
// they form.
func batches(c recording.Case) map[string]string {
	found := map[string]string{}
	var batch []string
	var kind s6rc.Kind
	flush := func() {
		set := slices.Sorted(slices.Values(batch))
		found[string(kind)+" "+strings.Join(set, " ")] = strings.Join(batch, " ")
		batch = nil
	}
	for _, e := range events(c) {
		switch {
		case e.Kind != s6rc.KindStarting && e.Kind != s6rc.KindStopping:
			flush()
			continue
		case e.Kind != kind:
			flush()
			kind = e.Kind
		}
		batch = append(batch, e.Service)
	}
	flush()
	return found
}

func TestAReplayThatDiffersIsFound(t *testing.T) {
	cases, err := recording.ReadAll(os.DirFS("../../s6rc/testdata/recorded"))
	if err != nil {
		t.Fatal(err)
	}
	clean := cases[slices.IndexFunc(cases, func(c recording.Case) bool { return c.Name() == "01-clean-boot/1" })]
	at := func(c *recording.Case, text string) int {
		return slices.IndexFunc(c.Lines, func(l recording.Line) bool { return strings.HasSuffix(l.Text, text) })
	}
	for name, change := range map[string]func(c *recording.Case){
		"":                         func(*recording.Case) {},
		"ended differently":        func(c *recording.Case) { c.End.Code = 1 },
		"S6_KILL_GRACETIME is 3s":  func(c *recording.Case) { c.End.After -= time.Second },
		"s6 line missing":          func(c *recording.Case) { i := at(c, "init-os-end: stopping"); c.Lines = slices.Delete(c.Lines, i, i+1) },
		"s6 line not in the":       func(c *recording.Case) { c.Lines = append(c.Lines, recording.Line{Text: "s6-rc: fatal: timed out"}) },
		"output line missing: CMD": func(c *recording.Case) { i := at(c, "CMD"); c.Lines = slices.Delete(c.Lines, i, i+1) },
		"svc-netbox starting comes without or before svc-netbox-prepare": func(c *recording.Case) {
			i, j := at(c, "svc-netbox: starting"), at(c, "svc-netbox-prepare successfully started")
			c.Lines[i], c.Lines[j] = c.Lines[j], c.Lines[i]
		},
		"svc-netbox-prepare stopping comes without or before svc-netbox": func(c *recording.Case) {
			i, j := at(c, "svc-netbox-prepare: stopping"), at(c, "svc-netbox successfully stopped")
			c.Lines[i], c.Lines[j] = c.Lines[j], c.Lines[i]
		},
		"together init-config init-crontab-config, recorded": func(c *recording.Case) {
			i, j := at(c, "init-config: starting"), at(c, "init-crontab-config: starting")
			c.Lines[i], c.Lines[j] = c.Lines[j], c.Lines[i]
		},
	} {
		got := clean
		got.Lines = slices.Clone(clean.Lines)
		change(&got)
		problems := strings.Join(compare(clean, scope{}, got), "\n")
		if !strings.Contains(problems, name) || name == "" && problems != "" {
			t.Errorf("wanted %q among the problems:\n%s", name, problems)
		}
	}
}
