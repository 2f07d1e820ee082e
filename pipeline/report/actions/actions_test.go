package actions_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/report/actions"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
	"github.com/linuxserver/docker-netbox/pipeline/secret"
)

// fake is the environment of a step.
type fake struct {
	env      map[string]string
	commands bytes.Buffer
	mask     secret.Mask
	dir      string
}

func newFake(t *testing.T) *fake {
	dir := t.TempDir()
	return &fake{dir: dir, env: map[string]string{
		"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": filepath.Join(dir, "output"), "GITHUB_STEP_SUMMARY": filepath.Join(dir, "summary"),
		"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "linuxserver/docker-netbox", "GITHUB_RUN_ID": "42",
	}}
}

func (f *fake) sink() *actions.Sink {
	exists := func(file string) bool { return file == "readme-vars.yml" || file == "Dockerfile.aarch64" }
	s := actions.New(func(name string) string { return f.env[name] }, &f.commands, exists, f.mask.Hide)
	f.mask.Known = s.Mask
	return s
}

func (f *fake) file(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(f.dir, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}

// run returns the report of a run with passed, failed and skipped stages.
func run() report.Report {
	amd, arm := "linux/amd64", "linux/arm64"
	return report.Report{
		Project: "docker-netbox", Commit: "1234567890abcdef", Version: "4.7.3", Base: report.Base{Name: "local"}, Engine: "local", Seconds: 99,
		Index:    "sha256:1dx",
		Expected: []report.Key{{Stage: "boot", Platform: amd}, {Stage: "boot", Platform: arm}},
		Stages: []report.Stage{
			{Key: report.Key{Stage: "boot", Platform: amd}, Seconds: 12.34},
			{Key: report.Key{Stage: "graph", Platform: amd}, Seconds: 1, Errors: []string{"readme-vars.yml:87: a | b -> <c> is documented, but not in the image"}},
			{Key: report.Key{Stage: "build", Platform: arm}, Seconds: 60, Errors: []string{"build linux/arm64/v8: Dockerfile.aarch64:31: RUN false: exit status 1"}},
			{Key: report.Key{Stage: "boot", Platform: arm}, Skipped: "there is no image"},
		},
		Platforms: []report.Platform{
			{Platform: amd, Image: "sha256:amd", Size: 125_100_000, Boot: &report.Boot{FirstOK: 5.04, Stop: 1.5, PeakMemory: 500e6}},
			{Platform: arm},
		},
		Published:  []report.Tag{{Reference: "ghcr.io/linuxserver/netbox:latest", Digest: "sha256:1dx"}},
		Difference: &sbom.Difference{},
		Unlisted:   []sbom.Change{{Name: "bash", Type: "deb", Old: "1", New: "2"}},
		Missed:     []report.Missed{{Reference: "quay.io/linuxserver.io/netbox:latest", Error: "503 | busy"}},
	}
}

func TestEveryFileOfAStepGetsWhatItIsFor(t *testing.T) {
	f := newFake(t)
	if err := f.sink().Report(run(), "flowchart TD\n  n0 --> n1\n"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"## ❌ docker-netbox: graph linux/amd64: readme-vars.yml:87: a \\| b -&gt; &lt;c&gt; is documented",
		"[1234567890ab](https://github.com/linuxserver/docker-netbox/commit/1234567890abcdef)",
		"https://github.com/netbox-community/netbox/releases/tag/v4.7.3",
		"https://github.com/linuxserver/docker-netbox/actions/runs/42#artifacts",
		"\n- nothing is published yet\n- `package_versions.txt` is not what the image holds (package: 1 changed): `go run ./ci packages` writes it\n",
		"| linux/amd64 | ❌ failed | `sha256:amd` | 125.1 MB | 5.0 s | 1.5 s | 500.0 MB |",
		"| linux/arm64 | ❌ failed | `` | 0.0 MB | – | – | – |",
		"| boot | linux/amd64 | ✅ passed | 12.3 s |",
		"| boot | linux/arm64 | ⏭️ skipped | – |",
		"- boot linux/arm64 was skipped: there is no image",
		"| `ghcr.io/linuxserver/netbox:latest` | `sha256:1dx` |",
		"| `quay.io/linuxserver.io/netbox:latest` | 503 \\| busy |",
		"```mermaid\nflowchart TD\n  n0 --> n1\n```",
	} {
		if !strings.Contains(f.file(t, "summary"), want) {
			t.Errorf("the summary does not hold %q:\n%s", want, f.file(t, "summary"))
		}
	}
	outputs := f.file(t, "output")
	for name, value := range map[string]string{
		"verdict": "failed", "version": "4.7.3", "digest": "sha256:1dx", "digest-linux-amd64": "sha256:amd", "tags": "ghcr.io/linuxserver/netbox:latest",
	} {
		if want := name + "<<_GitHubActionsFileCommandDelimeter_\n" + value + "\n_GitHubActionsFileCommandDelimeter_\n"; !strings.Contains(outputs, want) {
			t.Errorf("the outputs do not hold %q:\n%s", want, outputs)
		}
	}
	for _, want := range []string{
		"::error file=readme-vars.yml,line=87::graph linux/amd64: readme-vars.yml:87: a | b -> <c>",
		"::error file=Dockerfile.aarch64,line=31::build linux/arm64: ",
		"::warning::publish: quay.io/linuxserver.io/netbox:latest was missed, its registry is optional: 503 | busy",
	} {
		if !strings.Contains(f.commands.String(), want) {
			t.Errorf("the commands do not hold %q:\n%s", want, f.commands.String())
		}
	}
}

func TestAnErrorThatNamesNoFileOfTheRepositoryIsPutOnNone(t *testing.T) {
	f := newFake(t)
	for _, text := range []string{"dial 127.0.0.1:5000: refused", "elsewhere.yml:3: broken", "no place\nat all"} {
		f.sink().Error(text)
	}
	if got, want := f.commands.String(), "::error::dial 127.0.0.1:5000: refused\n::error::elsewhere.yml:3: broken\n::error::no place%0Aat all\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestEverySecretIsMaskedBeforeAnythingIsToldOfIt(t *testing.T) {
	f := newFake(t)
	s := f.sink()
	f.mask.Add("hunter2", "line one\nline two", "")
	f.mask.Add("hunter2")
	if got, want := f.commands.String(), "::add-mask::hunter2\n::add-mask::line one%0Aline two\n::add-mask::line one\n::add-mask::line two\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	f.commands.Reset()
	r := run()
	r.Stages[1].Errors = []string{"the password hunter2 is wrong"}
	if err := s.Report(r, ""); err != nil {
		t.Fatal(err)
	}
	s.Notice("hunter2 again")
	for name, text := range map[string]string{"commands": f.commands.String(), "summary": f.file(t, "summary"), "output": f.file(t, "output")} {
		if strings.Contains(text, "hunter2") || !strings.Contains(text, "***") {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}

// A secret.Mask holds its lock while it calls Sink.Mask for a new secret.
func TestASecretMayBecomeKnownWhileAnotherIsHidden(t *testing.T) {
	var s *actions.Sink
	f := newFake(t)
	s = actions.New(func(name string) string { return f.env[name] }, &f.commands, func(string) bool { return false }, func(text string) string {
		masked := make(chan struct{})
		go func() {
			s.Mask("hunter2")
			close(masked)
		}()
		select {
		case <-masked:
		case <-time.After(5 * time.Second):
			t.Errorf("no secret can be masked while %q is written: the two wait for each other", text)
		}
		return text
	})
	s.Error("an error")
	s.Warning("a warning")
	s.Notice("a notice")
	if err := s.Summary("a summary"); err != nil {
		t.Error(err)
	}
}

func TestAShortSecretSpoilsNoOutput(t *testing.T) {
	f := newFake(t)
	s := f.sink()
	f.mask.Add("netbox")
	r := run()
	r.Stages[1].Errors = []string{"netbox is wrong"}
	if err := s.Report(r, ""); err != nil {
		t.Fatal(err)
	}
	if got := f.file(t, "output"); !strings.Contains(got, "ghcr.io/linuxserver/netbox:latest") || !strings.Contains(got, "*** is wrong") {
		t.Errorf("outputs:\n%s", got)
	}
}

func TestGroupsOpenAndCloseOnce(t *testing.T) {
	f := newFake(t)
	end := f.sink().Group("Progress")
	end()
	end()
	if got := f.commands.String(); got != "::group::Progress\n::endgroup::\n" {
		t.Errorf("got %q", got)
	}
}

func TestOutsideActionsNothingIsWritten(t *testing.T) {
	f := newFake(t)
	for _, value := range []string{"", "false"} {
		f.env["GITHUB_ACTIONS"] = value
		s := f.sink()
		f.mask.Add("hunter2" + value)
		s.Group("Progress")()
		s.Error("broken")
		s.Notice("notice")
		if err := s.Report(run(), "flowchart TD\n"); err != nil {
			t.Error(err)
		}
		if s != nil || f.commands.Len() != 0 || f.file(t, "output") != "" || f.file(t, "summary") != "" {
			t.Errorf("GITHUB_ACTIONS=%q: commands %q", value, f.commands.String())
		}
	}
}

func TestAStepWithoutItsFilesGetsAnErrorAndNoPanic(t *testing.T) {
	for _, variable := range []string{"GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"} {
		for _, value := range []string{"", "/nowhere/at/all", "."} {
			f := newFake(t)
			f.env[variable] = value
			if err := f.sink().Report(run(), ""); err == nil || !strings.Contains(err.Error(), "GitHub Actions") {
				t.Errorf("%s=%q: %v", variable, value, err)
			}
		}
	}
}

func TestAValueThatWouldEndItselfIsRefused(t *testing.T) {
	f := newFake(t)
	err := f.sink().Output("why", "a\n_GitHubActionsFileCommandDelimeter_\nverdict=passed")
	if err == nil || f.file(t, "output") != "" {
		t.Errorf("error %v, file %q", err, f.file(t, "output"))
	}
}

func TestAHugeSummaryIsCutBeforeTheRunnerDropsIt(t *testing.T) {
	f := newFake(t)
	if err := f.sink().Summary(strings.Repeat("ä", 600_000)); err != nil {
		t.Fatal(err)
	}
	text := f.file(t, "summary")
	if len(text) > 1<<20+1 || !strings.HasSuffix(text, "the whole is in the report.\n\n") && !strings.HasSuffix(text, "the whole is in the report.\n") {
		t.Errorf("%d bytes, ending in %q", len(text), text[len(text)-40:])
	}
}
