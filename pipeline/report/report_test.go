package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/imagesize"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

var (
	buildAMD = report.Key{Stage: "build", Platform: "linux/amd64"}
	buildARM = report.Key{Stage: "build", Platform: "linux/arm64"}
	bootAMD  = report.Key{Stage: "boot", Platform: "linux/amd64"}
	publish  = report.Key{Stage: "publish"}
)

// noon is the start time of all stages.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// now returns a clock that advances by a minute and a half with each call.
func now() func() time.Time {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return func() time.Time {
		t := at
		at = at.Add(90 * time.Second)
		return t
	}
}

// next returns what to do about the first failure, if any.
func next(r report.Report) string {
	if f := r.Failure(); f != nil {
		return f.Next
	}
	return ""
}

func TestVerdict(t *testing.T) {
	all := []report.Key{buildAMD, bootAMD, publish}
	const general = "Correct what the line above names, then check it: go run ./ci check."
	for _, c := range []struct {
		name     string
		expected []report.Key
		run      func(b *report.Builder)
		verdict  report.Verdict
		why      string
		next     string
	}{
		{"all passed", all, func(b *report.Builder) {
			b.End(publish, noon, 1, nil, "")
			b.End(buildAMD, noon, 1, nil, "not needed")
			b.End(bootAMD, noon, 1, nil, "")
		}, report.Passed, "all 3 stages passed", ""},
		{"one failed", all, func(b *report.Builder) {
			b.End(buildAMD, noon, 1, nil, "")
			b.End(bootAMD, noon, 1, errors.New("svc-netbox did not start"), "boot.log")
			b.Skip(publish, "boot failed")
		}, report.Failed, "boot linux/amd64: svc-netbox did not start", "Read logs/boot.log in the report."},
		{"the first to fail is the reason", all, func(b *report.Builder) {
			b.End(bootAMD, noon, 1, errors.Join(errors.New("first"), errors.New("second")), "")
			b.End(buildAMD, noon, 1, errors.New("third"), "")
		}, report.Failed, "boot linux/amd64: first", general},
		{"README.md comes last, for a corrected graph corrects it too", all, func(b *report.Builder) {
			b.End(report.Key{Stage: "readme"}, noon, 1, errors.New("they differ"), "")
			b.End(report.Key{Stage: "graph", Platform: "linux/amd64"}, noon, 1, errors.New("a -> b is missing"), "")
		}, report.Failed, "graph linux/amd64: a -> b is missing", "Correct the services, or document the order that the image has: go run ./ci graph --write. Then check it: go run ./ci graph --platform linux/amd64"},
		{"the stage is named once", all, func(b *report.Builder) {
			b.End(buildAMD, noon, 1, errors.New("build linux/amd64: Dockerfile:7: RUN false: exit code: 1"), "")
		}, report.Failed, "build linux/amd64: Dockerfile:7: RUN false: exit code: 1", "Correct the instruction that the line above names, then check it: go run ./ci build --platform linux/amd64"},
		{"a build that failed outside its Dockerfile", all, func(b *report.Builder) {
			b.End(buildAMD, noon, 1, errors.New("build linux/amd64: starting buildkitd: it ended: no room for a socket"), "")
		}, report.Failed, "build linux/amd64: starting buildkitd: it ended: no room for a socket", general},
		{"the disk is full, which a stage says in its own words", all, func(b *report.Builder) {
			b.End(buildAMD, noon, 1, errors.New("build linux/amd64: Dockerfile:7: RUN x: write error: No space left on device"), "")
		}, report.Failed, "build linux/amd64: Dockerfile:7: RUN x: write error: No space left on device", "Make room on the disk, for example with go run ./ci clean --cache. Then check it: go run ./ci check."},
		{"one missing", all, func(b *report.Builder) {
			b.End(buildAMD, noon, 1, nil, "")
			b.End(bootAMD, noon, 1, nil, "")
		}, report.Failed, "publish: it was never run", general},
		{"one skipped", all, func(b *report.Builder) {
			b.End(buildAMD, noon, 1, nil, "")
			b.Skip(bootAMD, "no engine")
			b.End(publish, noon, 1, nil, "")
		}, report.Failed, "boot linux/amd64: it was skipped: no engine", general},
		{"another platform's stage does not count", all, func(b *report.Builder) {
			b.End(buildARM, noon, 1, nil, "")
			b.End(bootAMD, noon, 1, nil, "")
			b.End(publish, noon, 1, nil, "")
		}, report.Failed, "build linux/amd64: it was never run", general},
		{"a failure that nobody expected", []report.Key{buildAMD}, func(b *report.Builder) {
			b.End(buildAMD, noon, 1, nil, "")
			b.End(publish, noon, 1, errors.New("no"), "")
		}, report.Failed, "publish: no", "When the registry works again: go run ./ci publish. What it has is not sent twice."},
		{"a skip that nobody expected", []report.Key{buildAMD}, func(b *report.Builder) {
			b.End(buildAMD, noon, 1, nil, "")
			b.Skip(publish, "no --to")
		}, report.Passed, "all 1 stages passed", ""},
		{"a failed check in a stage that says it passed", []report.Key{bootAMD}, func(b *report.Builder) {
			b.End(bootAMD, noon, 1, nil, "")
			b.Platform("linux/amd64", func(p *report.Platform) { p.Smoke = []report.Check{{Name: "login", Error: "got 500"}} })
		}, report.Failed, "smoke linux/amd64: login: got 500", general},
		{"drift in a stage that says it passed", []report.Key{bootAMD}, func(b *report.Builder) {
			b.End(bootAMD, noon, 1, nil, "")
			b.Platform("linux/amd64", func(p *report.Platform) { p.Drift = []string{"a -> b is missing"} })
		}, report.Failed, "graph linux/amd64: a -> b is missing", general},
		{"nothing expected", nil, func(b *report.Builder) { b.End(buildAMD, noon, 1, nil, "") },
			report.Failed, "no stage ran, so nothing was checked", general},
	} {
		b := report.NewBuilder(report.Report{Expected: c.expected}, now())
		c.run(b)
		r := b.Report()
		if next := next(r); r.Verdict() != c.verdict || r.Why() != c.why || next != c.next {
			t.Errorf("%s: %s, %q, %q; want %s, %q, %q", c.name, r.Verdict(), r.Why(), next, c.verdict, c.why, c.next)
		}
	}
}

func TestTheCauseOfAFailureComesBeforeWhatTheStageSaid(t *testing.T) {
	b := report.NewBuilder(report.Report{Expected: []report.Key{buildAMD}}, now())
	b.End(buildAMD, noon, 1, errors.New("build linux/amd64: Dockerfile:7: RUN x: exit code: 25"), "")
	said := b.Report()
	why, next := "build linux/amd64: the disk was full: /cache had 0.0 GB free of 9.0 GB: make room", "Make room as the line above says, then check it: go run ./ci check."
	r := said.WithCause(errors.New("the disk was full: /cache had 0.0 GB free of 9.0 GB: make room"))
	if f := r.Failure(); f.Why() != why || f.Next != next {
		t.Errorf("%q, %q; want %q, %q", f.Why(), f.Next, why, next)
	}
	var text strings.Builder
	if err := r.Summary(&text, 0); err != nil || !strings.Contains(text.String(), "exit code: 25") {
		t.Errorf("what the stage said is lost: %v\n%s", err, text.String())
	}
	if len(said.Stages[0].Errors) != 1 {
		t.Error("the report it was made from has changed")
	}
	if r := new(report.Report).WithCause(errors.New("full")); len(r.Stages) != 0 {
		t.Errorf("a report without stages has %v", r.Stages)
	}
}

func TestGoodStagesHaveEndedAndPassed(t *testing.T) {
	r := full()
	if !r.Good(buildAMD, buildARM) {
		t.Error("two stages that passed are not good")
	}
	for _, key := range []report.Key{bootAMD, publish, {Stage: "readme"}} { // failed, missing, skipped
		if r.Good(buildAMD, key) {
			t.Errorf("%s is good", key)
		}
	}
}

// full returns a report with a value in every field.
func full() report.Report {
	b := report.NewBuilder(report.Report{
		Project: "docker-netbox", Commit: "0123abc", Version: "4.7.3", Engine: "local",
		Base:     report.Base{Name: "local", Digests: map[string]string{"linux/amd64": "sha256:01", "linux/arm64": "sha256:02"}},
		Expected: []report.Key{buildAMD, buildARM, bootAMD, publish},
	}, now())
	b.End(buildARM, noon, 65*time.Second, nil, "")
	b.End(buildAMD, noon, 41200*time.Millisecond, nil, "")
	b.End(bootAMD, noon, 12345*time.Millisecond, errors.Join(errors.New("svc-netbox did not start; sesame"), errors.New("no 200 in 60 s")),
		"boot-linux-amd64.log")
	b.Skip(report.Key{Stage: "readme"}, "boot failed")
	b.Platform("linux/arm64", func(p *report.Platform) { p.Size = 151_000_000 })
	b.Platform("linux/amd64", func(p *report.Platform) {
		p.Image, p.Size = "sha256:aa", 142_345_678
		p.Layers = []report.Layer{{Digest: "sha256:bb", Size: 42, From: "COPY root/ /"}}
		p.Groups = []imagesize.Group{{Name: "base", Size: 36_000_000}, {Name: "Python", Size: 42_340_000}}
		p.Boot = &report.Boot{FirstOK: 8.13, Stop: 1.2, PeakMemory: 512e6, Services: []report.Service{{Name: "svc-netbox", Start: 1.5, Ready: 8}}}
		p.Smoke = []report.Check{{Name: "login", Asked: "GET /login/", Got: "200", Seconds: 0.2}}
		p.Drift = []string{"a -> b is missing"}
	})
	b.Change(func(r *report.Report) {
		r.Published = []report.Tag{
			{Reference: "ghcr.io/linuxserver/netbox:latest", Digest: "sha256:" + strings.Repeat("c", 64), Unchanged: true},
			{Reference: "127.0.0.1:5000/netbox:4.7.3", Digest: "sha256:" + strings.Repeat("c", 64), Blobs: 12, Bytes: 3},
		}
		r.Missed = []report.Missed{{Reference: "quay.io/linuxserver.io/netbox:4.7.3", Error: "the registry answered 503 Service Unavailable, 5 times"}}
	})
	b.Log("boot-linux-amd64.log", []byte("PASSWORD=sesame\n"))
	for _, name := range []string{"netbox-linux-amd64.spdx.json", "netbox-linux-amd64.cdx.json"} {
		b.Document(report.Document{Name: name, Platform: "linux/amd64", Type: "application/json", Text: []byte(`{"nginx": 1}`)})
	}
	held := map[string]sbom.Contents{"linux/amd64": {Packages: []sbom.Package{{Name: "netbox", Version: "4.7.3", Type: "python"}}}}
	for i := range 21 {
		held["linux/amd64"] = sbom.Contents{Packages: append(held["linux/amd64"].Packages, sbom.Package{Name: fmt.Sprintf("package-%02d", i), Version: "1", Type: "deb"})}
	}
	b.Platform("linux/amd64", func(p *report.Platform) { p.Packages = held["linux/amd64"].Packages })
	b.Change(func(r *report.Report) {
		r.Unlisted = []sbom.Change{{Name: "netbox", Type: "python", Old: "4.7.2", New: "4.7.3", Platforms: []string{"linux/amd64"}}}
		r.Difference = new(sbom.Compare(&sbom.Baseline{
			Since:  sbom.Since{Reference: "ghcr.io/linuxserver/netbox:latest", Version: "v4.7.2-ls9"},
			Images: map[string]sbom.Contents{"linux/amd64": {Packages: []sbom.Package{{Name: "netbox", Version: "4.7.2", Type: "python"}}}},
		}, held))
	})
	return b.Report()
}

func TestSummaryFitsEightyColumnsAndBeginsWithTheReason(t *testing.T) {
	var out bytes.Buffer
	if err := full().Summary(&out, 80); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/summary.txt"
	want, err := os.ReadFile(golden)
	if err != nil || out.String() != string(want) {
		t.Errorf("%v: got\n%s\nwant\n%s", err, &out, want)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestARunIsComparedWithTheOneBefore(t *testing.T) {
	run := func(size int64, packages int, first, build float64) report.Report {
		b := report.NewBuilder(report.Report{Commit: "0123456789abcdef", Expected: []report.Key{buildAMD}}, now())
		b.End(buildAMD, noon, time.Duration(build*float64(time.Second)), nil, "")
		b.End(publish, noon, 500*time.Millisecond, nil, "")
		b.Platform("linux/amd64", func(p *report.Platform) {
			p.Size, p.Packages, p.Boot = size, make([]sbom.Package, packages), &report.Boot{FirstOK: first}
		})
		return b.Report()
	}
	before := run(129_700_000, 225, 5.5, 60)
	got := run(130_100_000, 224, 5.52, 12.5).Since(before)
	if want := []string{
		"size: linux/amd64 130.1 MB (+0.4)", "packages: linux/amd64 224 (-1)", "first 200 after: linux/amd64 5.5 s (same)", "stages: build linux/amd64 12.5 s (-47.5)",
	}; got == nil || !reflect.DeepEqual(got.Lines, want) || got.Commit != before.Commit {
		t.Errorf("got %+v, want %q", got, want)
	}
	if got := full().Since(report.Report{}); got != nil {
		t.Errorf("nothing to compare with, and yet %+v", got)
	}
}

// lines is an error with output lines.
type lines struct {
	error
	shown []string
}

func (l lines) Lines() []string { return l.shown }

func TestASummaryShowsTheEndOfTheOutputAndFitsTheTerminal(t *testing.T) {
	b := report.NewBuilder(report.Report{Expected: []report.Key{buildAMD}}, now())
	var output []string
	for i := range 60 {
		output = append(output, fmt.Sprintf("line %d", i))
	}
	long := "build linux/amd64: Dockerfile:7: RUN build/packages install: exit code: 100: E: Unable to locate package libnothing-dev"
	b.End(buildAMD, noon, time.Second, fmt.Errorf("joined: %w", lines{errors.New(long), output}), "build-linux-amd64.log")
	b.Platform("linux/amd64", func(p *report.Platform) { p.Boot = &report.Boot{PeakMemory: 1e6} })
	r := b.Report()
	if got := r.Stages[0].Output; len(got) != 50 || got[0] != "line 10" {
		t.Errorf("the stage keeps %d lines from %q, want the last 50", len(got), got)
	}
	var out strings.Builder
	if err := r.Summary(&out, 60); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range []string{"\n  | line 50\n", "\n  | line 59\n", "200 after –, stop in –"} {
		if !strings.Contains(text, want) {
			t.Errorf("the summary does not hold %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "line 49") || strings.Count(text, "libnothing-dev") != 1 {
		t.Errorf("the summary holds more than the last ten lines, or the error twice:\n%s", text)
	}
	for line := range strings.Lines(text) {
		if utf8.RuneCountInString(line) > 61 {
			t.Errorf("wider than 60 columns: %q", line)
		}
	}
}

func TestAReportIsReadBackAsItWasWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dist", "report")
	keep := func(s string) string { return s }
	want := full()
	for range 2 { // the second replaces the first
		if err := want.Write(dir, keep); err != nil {
			t.Fatal(err)
		}
	}
	got, err := report.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestTheJSONHasTheVerdictAndAVersion(t *testing.T) {
	text, err := json.Marshal(full())
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		SchemaVersion int
		Verdict       string
		Why           string
		Next          string
		Stages        []struct{ Stage, Platform, Verdict string }
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.SchemaVersion != 1 || got.Verdict != "failed" || !strings.Contains(got.Why, "svc-netbox") || got.Next == "" {
		t.Errorf("%+v", got)
	}
	var verdicts []string
	for _, s := range got.Stages {
		verdicts = append(verdicts, s.Verdict)
	}
	if strings.Join(verdicts, " ") != "passed passed failed skipped" {
		t.Errorf("verdicts of the stages: %v", verdicts)
	}
}

func TestAVerdictSetByHandIsNotBelieved(t *testing.T) {
	dir := t.TempDir()
	r := full()
	if err := r.Write(dir, func(s string) string { return s }); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "report.json")
	text, _ := os.ReadFile(file)
	os.WriteFile(file, bytes.ReplaceAll(text, []byte(`"verdict": "failed"`), []byte(`"verdict": "passed"`)), 0o644)
	back, err := report.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if verdict := back.Verdict(); verdict != report.Failed {
		t.Errorf("verdict %s", verdict)
	}
}

func TestSecretsAreInNoFileOfTheReport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "report")
	r := full()
	const quoted = `a"b<c\d` // looks otherwise in JSON
	r.Platforms[0].Smoke[0].Got = "token " + quoted
	hide := strings.NewReplacer("sesame", "***", quoted, "***").Replace
	if err := r.Write(dir, hide); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"report.json", "logs/boot-linux-amd64.log"} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "sesame") || !strings.Contains(string(text), "***") {
			t.Errorf("%s:\n%s", file, text)
		}
	}
	back, err := report.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := back.Platforms[0].Smoke[0].Got; got != "token ***" {
		t.Errorf("got %q", got)
	}
}

func TestAReportThatIsNotWholeIsNotLoaded(t *testing.T) {
	keep := func(s string) string { return s }
	for name, c := range map[string]struct {
		spoil func(dir string) error
		error string
		code  int
	}{
		"none":            {os.RemoveAll, "there is none; make it with `go run ./ci check`", failure.ExitUsage},
		"another schema":  {func(dir string) error { return os.WriteFile(dir+"/report.json", []byte(`{"schemaVersion":9}`), 0o644) }, "schema is version 9, this program reads 1", failure.ExitUsage},
		"no JSON":         {func(dir string) error { return os.WriteFile(dir+"/report.json", []byte(`{"sch`), 0o644) }, "unexpected end of JSON", failure.ExitCheck},
		"a log gone":      {func(dir string) error { return os.RemoveAll(dir + "/logs") }, "boot-linux-amd64.log", failure.ExitCheck},
		"a document gone": {func(dir string) error { return os.RemoveAll(dir + "/sbom") }, "netbox-linux-amd64.cdx.json", failure.ExitCheck},
		"a document outside": {func(dir string) error {
			return os.WriteFile(dir+"/report.json", []byte(`{"schemaVersion":1,"documents":[{"name":"/etc/passwd"}]}`), 0o644)
		}, "is not named as a file", failure.ExitCheck},
		"a log outside": {func(dir string) error {
			return os.WriteFile(dir+"/report.json", []byte(`{"schemaVersion":1,"logs":[{"name":"../../secret"}]}`), 0o644)
		}, "is not named as a file", failure.ExitCheck},
	} {
		dir := filepath.Join(t.TempDir(), "report")
		if err := full().Write(dir, keep); err != nil {
			t.Fatal(err)
		}
		if err := c.spoil(dir); err != nil {
			t.Fatal(err)
		}
		_, err := report.Load(dir)
		if err == nil || !strings.Contains(err.Error(), c.error) || !strings.Contains(err.Error(), dir) || failure.ExitCode(err) != c.code {
			t.Errorf("%s: %v (exit %d), want %q (exit %d)", name, err, failure.ExitCode(err), c.error, c.code)
		}
	}

	r := full()
	r.Logs[0].Name = "../report.json"
	dir := filepath.Join(t.TempDir(), "report")
	if err := r.Write(dir, keep); err == nil || !strings.Contains(err.Error(), "is not named as a file") {
		t.Errorf("a log outside was written: %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("half a report was left")
	}
}

func TestStagesMayEndAtOnceInAnyOrder(t *testing.T) {
	b := report.NewBuilder(report.Report{Expected: []report.Key{buildAMD}}, now())
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			b.End(report.Key{Stage: fmt.Sprint(i)}, noon, time.Second, nil, "")
			b.Platform(fmt.Sprint("p", i%4), func(p *report.Platform) { p.Size++ })
			b.Log(fmt.Sprint(i), nil)
		})
	}
	wg.Wait()
	r := b.Report()
	if len(r.Stages) != 20 || len(r.Logs) != 20 || len(r.Platforms) != 4 || r.Platforms[3].Platform != "p3" || r.Platforms[3].Size != 5 {
		t.Errorf("%+v", r)
	}
}
