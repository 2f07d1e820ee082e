package smoke

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, w io.Writer, m Message) {
	t.Helper()
	if err := m.Write(w); err != nil {
		t.Fatal(err)
	}
}

// passing returns the lines of a run in which every check passes.
func passing(t *testing.T) []string {
	t.Helper()
	var buf bytes.Buffer
	for _, c := range Checks() {
		write(t, &buf, Message{Result: &Result{Check: c.ID, OK: true, Asked: "GET /" + c.ID, Got: "200", Seconds: 0.5}})
	}
	write(t, &buf, Message{Summary: &Summary{Checks: len(Checks())}})
	return strings.Split(strings.TrimSpace(buf.String()), "\n")
}

// index returns the position of a check in the lines of passing.
func index(id string) int {
	return slices.IndexFunc(Checks(), func(c Check) bool { return c.ID == id })
}

func TestEachCheckOncePassedIsAPass(t *testing.T) {
	rep := Parse(passing(t))
	if err := rep.Err(); err != nil {
		t.Fatal(err)
	}
	if len(rep.Results) != len(Checks()) || rep.Results[0].Seconds != 0.5 || rep.Summary.Checks != len(Checks()) {
		t.Errorf("not all that was written came back: %+v", rep)
	}
	if !rep.StopTime.IsZero() {
		t.Error("a stop nobody asked for")
	}
}

func TestDeathsOfServicesAreNoFindings(t *testing.T) {
	death := Exit{Service: "svc-cron", Count: 2, How: "ended with status 3"}
	var line bytes.Buffer
	write(t, &line, Message{Exit: &death})
	rep := Parse(append(passing(t), strings.TrimSpace(line.String())))
	if err := rep.Err(); err != nil || !slices.Equal(rep.Exits, []Exit{death}) {
		t.Errorf("deaths %v, %v, want %v", rep.Exits, err, death)
	}
}

func TestLinesOfServicesDoNotMatter(t *testing.T) {
	var lines []string
	for i, line := range passing(t) {
		lines = append(lines,
			"[INFO] Listening at: http://[::]:8000",
			`127.0.0.1 - "GET /login/" 200 netbox-probe`,
			"half a line of a service "+line,
			"")
		if i%2 == 0 {
			lines[len(lines)-2] += `{"level":"info"} glued on }}`
		}
	}
	if err := Parse(lines).Err(); err != nil {
		t.Error(err)
	}
}

func TestTheTimeOfTheStopComesBack(t *testing.T) {
	at := time.Date(2026, 11, 23, 20, 0, 0, 5000, time.UTC)
	var buf bytes.Buffer
	write(t, &buf, Message{StopTime: &at})
	if rep := Parse(append(passing(t), buf.String())); !rep.StopTime.Equal(at) || rep.Err() != nil {
		t.Errorf("got %s and %v", rep.StopTime, rep.Err())
	}
}

// An incomplete stream must never count as passed.
func TestAStreamThatIsNotWholeFails(t *testing.T) {
	tests := []struct {
		name   string
		change func([]string) []string
		want   string // in the error
	}{
		{"nothing at all", func([]string) []string { return nil }, "no finding for ready, static"},
		{"the probe died half-way", func(l []string) []string { return l[:5] }, "wrote no summary"},
		{"a check missing", func(l []string) []string { return slices.Delete(l, 3, 4) }, "no finding for " + Checks()[3].ID},
		{"a check twice", func(l []string) []string { return slices.Insert(l, 3, l[2]) }, "check host was reported 2 times"},
		{"a failure, then a pass of the same check", func(l []string) []string {
			return slices.Insert(l, 0, strings.Replace(l[2], `"ok":true`, `"ok":false`, 1))
		}, "check host was reported 2 times"},
		{"no summary", func(l []string) []string { return l[:len(l)-1] }, "wrote no summary"},
		{"two summaries", func(l []string) []string { return append(l, l[len(l)-1]) }, "2 summaries"},
		{"a check of another tree", func(l []string) []string {
			return append(l, prefix+`{"result":{"check":"weather","ok":true}}`)
		}, "unknown check weather"},
		{"a finding cut short", func(l []string) []string { l[4] = l[4][:40]; return l }, "unreadable finding"},
		{"a summary that counts a failure no finding shows", func(l []string) []string {
			l[len(l)-1] = strings.Replace(l[len(l)-1], `"failed":0`, `"failed":1`, 1)
			return l
		}, "with 1 failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Parse(tt.change(passing(t))).Err()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAFailedCheckIsOneLineOfWhatWasAskedAndWhereToLook(t *testing.T) {
	lines := passing(t)
	var buf bytes.Buffer
	write(t, &buf, Message{Result: &Result{Check: "login", Asked: "POST /login/", Got: "500: <class 'X'>:\n  no   table"}})
	write(t, &buf, Message{Result: &Result{Check: "image", Asked: "nothing", Got: "no chance", Needs: "login"}})
	write(t, &buf, Message{Summary: &Summary{Checks: len(Checks()), Failed: 2}})
	out := strings.Split(strings.TrimSpace(buf.String()), "\n")
	lines[index("login")], lines[index("image")], lines[len(lines)-1] = out[0], out[1], out[2]

	err := Parse(lines).Err()
	want := "smoke test: login: FAILED: asked POST /login/, got 500: <class 'X'>: no table; look at SUPERUSER_EMAIL, SUPERUSER_PASSWORD and the log of svc-netbox"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// Only writes up to PIPE_BUF are atomic.
func TestNoLineIsLongerThanAPipeTakesAtOnce(t *testing.T) {
	for _, worst := range []string{`"`, `\`, "\x01", "\u2028", "\xff", "<", "a", "界"} {
		var buf bytes.Buffer
		long := strings.Repeat(worst, 5000)
		write(t, &buf, Message{Result: &Result{Check: "processes", Asked: long, Got: long, Needs: "processes"}})
		if buf.Len() > 4096 {
			t.Errorf("%q: %d bytes", worst, buf.Len())
		}
		if strings.Count(buf.String(), "\n") != 1 {
			t.Errorf("%q: more than one line", worst)
		}
		if rep := Parse([]string{buf.String()}); len(rep.Results) != 1 {
			t.Errorf("%q: unreadable", worst)
		}
	}
}

func TestChecksNeedOnlyEarlierOnes(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Checks() {
		if seen[c.ID] {
			t.Errorf("%s is there twice", c.ID)
		}
		for _, need := range c.Needs {
			if !seen[need] {
				t.Errorf("%s needs %s, which is not before it", c.ID, need)
			}
		}
		if c.Promise == "" || c.Hint == "" {
			t.Errorf("%s does not say what it is for or where to look", c.ID)
		}
		seen[c.ID] = true
	}
}

func FuzzParse(f *testing.F) {
	f.Add(prefix + `{"result":{"check":"login","ok":true}}`)
	f.Add(prefix + `{"summary":{"checks":18}}`)
	f.Add(prefix + `{`)
	f.Fuzz(func(t *testing.T, text string) {
		// No single line can make a run pass.
		if Parse([]string{text}).Err() == nil {
			t.Errorf("%q passed", text)
		}
		_ = fmt.Sprint(Parse(strings.Split(text, "\n")).Err())
	})
}
