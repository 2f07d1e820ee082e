package report_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/report"
)

// written writes a report and returns the content of each file, by name.
func written(t *testing.T, r report.Report, hide func(string) string) map[string]string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "report")
	if err := r.Write(dir, hide); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, name))
		files[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func keep(s string) string { return s }

func green() report.Report {
	b := report.NewBuilder(report.Report{Version: "4.7.3", Expected: []report.Key{buildAMD}}, now())
	b.End(buildAMD, noon, time.Second, nil, "")
	return b.Report()
}

func TestProgramsReadTheVerdictInTheirForms(t *testing.T) {
	for name, test := range map[string]struct {
		report        report.Report
		status, badge string
	}{
		"green": {green(), "CI: 'PASS'\n", "NetBox 4.7.3: passed"},
		"red":   {full(), "CI: 'FAIL'\n", "NetBox 4.7.3: failed"},
		"empty": {report.Report{}, "CI: 'FAIL'\n", "NetBox : failed"},
	} {
		files := written(t, test.report, keep)
		if got := files["ci-status.yml"]; got != test.status {
			t.Errorf("%s: ci-status.yml is %q", name, got)
		}
		if got := files["badge.svg"]; !strings.Contains(got, "<title>"+test.badge+"</title>") {
			t.Errorf("%s: badge.svg is %q", name, got)
		}
		for _, file := range []string{"badge.svg", "junit.xml"} {
			d := xml.NewDecoder(strings.NewReader(files[file]))
			for {
				if _, err := d.Token(); err == io.EOF {
					break
				} else if err != nil {
					t.Fatalf("%s: %s: %v", name, file, err)
				}
			}
		}
	}
}

func TestJUnitHasACaseForEachStageAndEachCheck(t *testing.T) {
	r := full()
	r.Platforms[0].Smoke = append(r.Platforms[0].Smoke, report.Check{Name: "token", Asked: "POST <&>", Got: "500", Error: "token: got 500", Seconds: 0.25})
	var got struct {
		Suites []struct {
			Name      string `xml:"name,attr"`
			TestsN    int    `xml:"tests,attr"`
			FailuresN int    `xml:"failures,attr"`
			SkippedN  int    `xml:"skipped,attr"`
			Time      string `xml:"time,attr"`
			Cases     []struct {
				Class   string `xml:"classname,attr"`
				Name    string `xml:"name,attr"`
				Failure *struct {
					Message string `xml:"message,attr"`
					Text    string `xml:",chardata"`
				} `xml:"failure"`
				Skipped *struct {
					Message string `xml:"message,attr"`
				} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(written(t, r, keep)["junit.xml"]), &got); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, s := range got.Suites {
		lines = append(lines, fmt.Sprintf("%s: %d tests, %d failures, %d skipped, %s s", s.Name, s.TestsN, s.FailuresN, s.SkippedN, s.Time))
		for _, c := range s.Cases {
			line := "  " + c.Class + " " + c.Name
			if c.Failure != nil {
				line += fmt.Sprintf(" failed %q %q", c.Failure.Message, c.Failure.Text)
			}
			if c.Skipped != nil {
				line += fmt.Sprintf(" skipped %q", c.Skipped.Message)
			}
			lines = append(lines, line)
		}
	}
	want := `stages: 5 tests, 2 failures, 1 skipped, 118.545 s
  stages.linux/arm64 build
  stages.linux/amd64 build
  stages.linux/amd64 boot failed "svc-netbox did not start; sesame" "svc-netbox did not start; sesame\nno 200 in 60 s"
  stages readme skipped "boot failed"
  stages publish failed "it was never run" ""
smoke linux/amd64: 2 tests, 1 failures, 0 skipped, 0.450 s
  smoke.linux/amd64 login
  smoke.linux/amd64 token failed "token: got 500" "asked: POST <&>\ngot: 500"`
	if text := strings.Join(lines, "\n"); text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}

func TestNoFileOfAReportHoldsASecret(t *testing.T) {
	const secret = `p"a<s>s&w\o'r`
	r := full()
	r.Stages[2].Errors[0] += secret
	r.Stages[3].Skipped += secret
	r.Platforms[0].Smoke[0].Got += secret
	r.Platforms[0].Drift = []string{secret}
	r.Missed[0].Error += secret
	r.Logs[0].Text = append(r.Logs[0].Text, secret...)
	files := written(t, r, strings.NewReplacer(secret, "***", "sesame", "***").Replace)
	// Encoded as text, JSON, HTML, XML and in a URL.
	for name, text := range files {
		for _, form := range []string{"sesame", secret, `p\"a`, "p&#34;a", "p&quot;a", "p%22a", `s&w\o`, "amp;w", `w\\o`} {
			if strings.Contains(text, form) {
				t.Errorf("%s holds %q", name, form)
			}
		}
	}
	if !strings.Contains(files["index.html"], "***") {
		t.Error("the page does not show that something is hidden")
	}
}

func TestAFailedRunAlwaysHasOneThingToDoNext(t *testing.T) {
	for name, test := range map[string]struct {
		key  report.Key
		err  error
		log  string // of the stage
		want string
	}{
		"a log":                       {bootAMD, errors.New("no"), "x.log", "Read logs/x.log in the report."},
		"a line of a log":             {bootAMD, errors.New("svc-netbox is late (log line 62)"), "x.log", "Read logs/x.log in the report, up to line 62."},
		"a build":                     {buildAMD, errors.New("Dockerfile:7: RUN false: exit code: 1"), "build.log", "check it: <code>go run ./ci build --platform linux/amd64</code>"},
		"a graph":                     {report.Key{Stage: "graph", Platform: "linux/arm64"}, errors.New("a -> b"), "graph.log", "<code>go run ./ci graph --write</code>. Then check it: <code>go run ./ci graph --platform linux/arm64</code>"},
		"an error that says it":       {report.Key{Stage: "readme"}, errors.New("they differ: run \"go run ./ci readme\""), "", "Do what the line above says"},
		"an interruption":             {buildAMD, errors.New("context canceled"), "", "<code>go run ./ci check</code>. What was built is kept"},
		"a registry that is not well": {publish, errors.New("503"), "", "go run ./ci publish"},
		"anything else":               {report.Key{Stage: "base"}, errors.New("no mirror answers"), "", "Correct what the line above names"},
	} {
		b := report.NewBuilder(report.Report{Expected: []report.Key{test.key}}, now())
		b.End(test.key, noon, time.Second, test.err, test.log)
		page := written(t, b.Report(), keep)["index.html"]
		_, page, _ = strings.Cut(page, "Do this next")
		page, _, _ = strings.Cut(page, "</dl>")
		if !strings.Contains(page, test.want) {
			t.Errorf("%s: it does not say %q:\n%s", name, test.want, page)
		}
	}
}

// Logs align their times. Common leading blanks would waste width on a phone.
func TestTheLinesBeforeAFailureBeginAtTheEdge(t *testing.T) {
	b := report.NewBuilder(report.Report{Expected: []report.Key{bootAMD}}, now())
	b.Log("x.log", []byte("    0.131 stderr a\n   10.200 stderr b\n   10.300 stderr died\n"))
	b.End(bootAMD, noon, time.Second, errors.New("died (log line 3)"), "x.log")
	page := written(t, b.Report(), keep)["index.html"]
	if want := "<div> 0.131 stderr a</div><div>10.200 stderr b</div>"; !strings.Contains(page, want) {
		t.Errorf("the page does not hold %s", want)
	}
}

// Embedded files must not be truncated, and the page must be complete.
func TestAPageIsWholeForAnyReport(t *testing.T) {
	for name, r := range map[string]report.Report{"empty": {}, "green": green(), "red": full()} {
		page := written(t, r, keep)["index.html"]
		if !strings.HasPrefix(page, "<!doctype html>") || !strings.HasSuffix(strings.TrimSpace(page), "</html>") {
			t.Errorf("%s: the page is not whole", name)
		}
		for _, bad := range []string{"ZgotmplZ", "%!", "<nil>"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s: the page holds %q", name, bad)
			}
		}
	}
}
