package recording_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/s6rc/recording"
)

func TestEveryRecordedCaseIsRead(t *testing.T) {
	cases, err := recording.ReadAll(os.DirFS("../testdata/recorded"))
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) != 310 {
		t.Errorf("read %d cases, the index names 310", len(cases))
	}
	for _, c := range cases {
		if len(c.Command) == 0 || c.Label == "" || c.End.After == 0 {
			t.Errorf("%s: incomplete: %+v", c.Name(), c)
		}
		var last time.Duration
		for _, l := range c.Lines {
			if l.At < last {
				t.Errorf("%s: line %q comes before its predecessor", c.Name(), l.Text)
			}
			last = l.At
		}
	}
}

func TestReadKeepsEverythingOfACase(t *testing.T) {
	const text = `# x
# s6-overlay 3.2.1.0; words

==============================================================================
== case 7: a: label
== command: ["/init", "sh", "-c", "echo \"x\""]
== environment: A="b c\n" EMPTY="" LONG='LLLL'...(9 bytes) B="d"
== tree: /etc/s6-overlay/s6-rc.d/x y/run (mode 644) = "a\nb"
== tree: removed /etc/x
== tree: directory /etc/y
== root filesystem read-only
== tmpfs on /run, options nosuid
== process user (1000, 1001)
     44	2| s6-rc: info: service a: starting
     45	### recorder: SIGTERM sent to PID 1
     46	    > in it
     47	
== container end: killed by signal 9 (SIGKILL); docker would report 137; duration 3505 ms (by the recorder)
closing remark
`
	cases, err := recording.Read("f", strings.NewReader(text))
	if err != nil || len(cases) != 1 {
		t.Fatal(cases, err)
	}
	c := cases[0]
	if c.Name() != "f/7" || c.Label != "a: label" || c.Command[3] != `echo "x"` {
		t.Errorf("head misread: %+v", c)
	}
	if c.Env["A"] != "b c\n" || c.Env["LONG"] != "LLLLLLLLL" || c.Env["B"] != "d" || len(c.Env) != 4 {
		t.Errorf("environment misread: %q", c.Env)
	}
	want := []recording.Edit{
		{Op: recording.Write, Path: "/etc/s6-overlay/s6-rc.d/x y/run", Mode: 0o644, Content: "a\nb"},
		{Op: recording.Remove, Path: "/etc/x"},
		{Op: recording.Mkdir, Path: "/etc/y"},
	}
	for i, e := range want {
		if c.Edits[i] != e {
			t.Errorf("edit %d is %+v, want %+v", i, c.Edits[i], e)
		}
	}
	if !c.ReadOnlyRoot || c.RunTmpfs != "nosuid" || c.User != "1000:1001" {
		t.Errorf("surroundings misread: %+v", c)
	}
	if l := c.Lines[0]; l.Stream != 2 || l.At != 44*time.Millisecond || l.Text != "s6-rc: info: service a: starting" {
		t.Errorf("line misread: %+v", l)
	}
	if c.Lines[1].From != recording.Recorder || c.Lines[2].From != recording.Exec || len(c.Output()) != 2 {
		t.Errorf("origins misread: %+v", c.Lines)
	}
	if c.End != (recording.End{Signal: 9, ByRecorder: true, After: 3505 * time.Millisecond}) {
		t.Errorf("end misread: %+v", c.End)
	}
}

func TestReadNamesTheLineItCannotRead(t *testing.T) {
	for text, want := range map[string]string{
		"== case 1: x\n== nonsense\n":             "recording f line 2: unknown line",
		"== case 1: x\n== tree: nonsense\n":       "recording f line 2: unknown change",
		"== case 1: x\n== environment: A=b\n":     "recording f line 2: no environment: \"A=b\"",
		"== case 1: x\n== command: [\"/init\"]\n": "case 1 has no end",
	} {
		if _, err := recording.Read("f", strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}
