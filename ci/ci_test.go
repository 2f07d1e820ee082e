package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// invoke runs the command line inside this process.
func invoke(t *testing.T, ctx context.Context, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(ctx, args, streams{in: strings.NewReader(""), out: &out, err: &err}, func(string) string { return "" })
	return out.String(), err.String(), code
}

func TestWrongUseGetsOneLineAndStatus2(t *testing.T) {
	for _, test := range []struct {
		args []string
		says []string // the thing, and the way out
	}{
		{[]string{"chekc"}, []string{`"chekc"`, `did you mean "check"?`}},
		{[]string{"frobnicate"}, []string{`"frobnicate"`, "pass one of", "check"}},
		{[]string{"check", "--platfrom", "linux/amd64"}, []string{"--platfrom", "ci check --help"}},
		{[]string{"check", "now"}, []string{`leave "now" out`}},
		{[]string{"build", "--platform", "linux/riscv64"}, []string{`"linux/riscv64"`, "--platform linux/amd64"}},
		{[]string{"build", "--platform", "windows/amd64"}, []string{`"windows/amd64"`, "--platform linux/amd64"}},
		{[]string{"build", "--platform", "linux/arm64/v7"}, []string{`"linux/arm64/v7"`, "--platform linux/amd64"}},
		{[]string{"build", "--platform", ""}, []string{"none is given", "--platform linux/amd64"}},
		{[]string{"boot", "--timeout", "soon"}, []string{"--timeout", "soon"}},
		{[]string{"boot", "--timeout", "-1s"}, []string{"--timeout -1s", "above zero"}},
		{[]string{"check", "--to", "no-registry"}, []string{"no-registry", "REGISTRY"}},
		{[]string{"check", "--to", "localhost:5000/UPPER"}, []string{"localhost:5000/UPPER"}},
		{[]string{"publish"}, []string{"--to REGISTRY/NAME[:TAG]"}},
		{[]string{"publish", "--to", "localhost:1/netbox"}, []string{"report"}},
		{[]string{"report"}, []string{"report"}},
		{[]string{"build", "--repo", "/nowhere"}, []string{"versions.yml"}},
		{[]string{"build", "--base", "oci:/nowhere"}, []string{"oci:/nowhere"}},
		{[]string{"build", "--base", "UPPER"}, []string{"UPPER", "--base"}},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			output := t.TempDir()
			args := append(test.args, "--output", output)
			if !strings.Contains(strings.Join(args, " "), "--repo") {
				args = append(args, "--repo", "..")
			}
			stdout, stderr, code := invoke(t, t.Context(), args...)
			if code != failure.ExitUsage || stdout != "" {
				t.Errorf("status %d, standard output %q; want 2 and nothing", code, stdout)
			}
			if strings.Count(stderr, "\n") != 1 {
				t.Errorf("want one line, got:\n%s", stderr)
			}
			for _, want := range test.says {
				if !strings.Contains(stderr, want) {
					t.Errorf("%q does not say %q", stderr, want)
				}
			}
			if left, _ := filepath.Glob(filepath.Join(output, "[^.]*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestMistakesInFilesAreNamedWithFileAndLine(t *testing.T) {
	for _, test := range []struct{ file, from, to, says string }{
		{"versions.yml", "suite: trixie", "suit: trixie", `versions.yml:11: base.local.suit: unknown key, did you mean "suite"?`},
		{"versions.yml", "release: 4.7.3", "release: [4.7.3", "versions.yml:"},
		{"versions.yml", "major: 17", "major: seventeen", "versions.yml:"},
		{"readme-vars.yml", "project_name:", "project_nmae:", `did you mean "project_name"?`},
	} {
		t.Run(test.to, func(t *testing.T) {
			repo := t.TempDir()
			for _, name := range []string{"versions.yml", "readme-vars.yml", "README.md", ".github/maintainers.md"} {
				text, err := os.ReadFile(filepath.Join("..", name))
				if err != nil {
					t.Fatal(err)
				}
				if name == test.file {
					if !strings.Contains(string(text), test.from) {
						t.Fatalf("%s does not hold %q", name, test.from)
					}
					text = bytes.Replace(text, []byte(test.from), []byte(test.to), 1)
				}
				if err := os.MkdirAll(filepath.Dir(filepath.Join(repo, name)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(repo, name), text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			verb := "build"
			if test.file == "readme-vars.yml" {
				verb = "readme"
			}
			_, stderr, code := invoke(t, t.Context(), verb, "--repo", repo, "--output", t.TempDir())
			if code != failure.ExitUsage || !strings.Contains(stderr, test.says) {
				t.Errorf("status %d, %q; want 2 and %q", code, stderr, test.says)
			}
		})
	}
}

func TestEveryVerbHelpsWithAnExample(t *testing.T) {
	for _, verb := range []string{"build", "boot", "graph", "readme", "publish", "report", "check", "release", "merge", "pin", "clean"} {
		stdout, stderr, code := invoke(t, t.Context(), verb, "--help")
		if code != 0 || stderr != "" {
			t.Errorf("%s --help: status %d, %q", verb, code, stderr)
		}
		for _, want := range []string{"Examples:\n  go run ./ci " + verb, "--platform", "--base", "--output", "--json"} {
			if !strings.Contains(stdout, want) {
				t.Errorf("%s --help does not say %q", verb, want)
			}
		}
	}
}

func TestReadmeWritesOnlyWhatDiffers(t *testing.T) {
	repo := t.TempDir()
	for _, name := range []string{"readme-vars.yml", "README.md", ".github/maintainers.md"} {
		text, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(repo, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(repo, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if stdout, _, code := invoke(t, t.Context(), "readme", "--check", "--repo", repo); code != 0 || stdout != "" {
		t.Fatalf("--check of the repository's own: status %d, %s", code, stdout)
	}
	page := filepath.Join(repo, "README.md")
	if err := os.WriteFile(page, []byte("edited by hand\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := invoke(t, t.Context(), "readme", "--check", "--repo", repo)
	if code != failure.ExitCheck || !strings.Contains(stdout, "\n-edited by hand\n") || !strings.Contains(stderr, "go run ./ci readme") {
		t.Errorf("--check: status %d, %q", code, stderr)
	}
	if stdout, _, code := invoke(t, t.Context(), "readme", "--repo", repo); code != 0 || stdout != "README.md written\n" {
		t.Errorf("status %d, %q", code, stdout)
	}
	if _, _, code := invoke(t, t.Context(), "readme", "--check", "--repo", repo); code != 0 {
		t.Errorf("--check of what was written: status %d", code)
	}
}

func TestCleanRemovesOnlyWhatTheVerbsWrite(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	output := t.TempDir()
	for _, name := range []string{"image/index.json", "report/report.json", "mine/notes.txt"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(output, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(output, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stdout, stderr, code := invoke(t, t.Context(), "clean", "--output", output)
	if want := filepath.Join(output, "image") + "\n" + filepath.Join(output, "report") + "\n"; code != 0 || stdout != want {
		t.Errorf("status %d, %q, %q", code, stdout, stderr)
	}
	if _, err := os.Stat(filepath.Join(output, "mine/notes.txt")); err != nil {
		t.Errorf("it removed what is not its own: %v", err)
	}
}

func TestAnInterruptedRunSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, stderr, code := invoke(t, ctx, "build", "--repo", "..", "--output", t.TempDir())
	if code != failure.ExitCheck || !strings.HasSuffix(stderr, "interrupted: everything that was started has been stopped\n") {
		t.Errorf("status %d, %q", code, stderr)
	}
}

func TestWhatGoesWrongBehindASummaryIsToldToo(t *testing.T) {
	told := toldError{errors.New("the boot failed")}
	err := errors.Join(told, errors.New("remove the pod's directory: it is busy"))
	if got := failure.Lines(untold(err)); len(got) != 1 || !strings.Contains(got[0], "it is busy") {
		t.Errorf("told: %q", got)
	}
	if err := untold(told); err != nil {
		t.Errorf("told twice: %v", err)
	}
}
