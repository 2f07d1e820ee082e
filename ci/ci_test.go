package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// invoke runs the command line inside this process.
func invoke(t *testing.T, ctx context.Context, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(ctx, args, streams{out: &out, err: &err}, func(string) string { return "" })
	return out.String(), err.String(), code
}

func TestWrongUseGetsOneLineAndStatus2(t *testing.T) {
	for _, test := range []struct {
		args []string
		says []string // the wrong argument and what to pass instead
	}{
		{[]string{"chekc"}, []string{`"chekc"`, `did you mean "check"?`}},
		{[]string{"frobnicate"}, []string{`"frobnicate"`, "pass one of", "check"}},
		{[]string{"check", "--platfrom", "linux/amd64"}, []string{"--platfrom", "ci check --help"}},
		{[]string{"help", "chekc"}, []string{`"chekc"`, `did you mean "check"?`}},
		{[]string{"completion", "tcsh"}, []string{`"tcsh"`, "bash, zsh, fish"}},
		{[]string{"completion"}, []string{"bash, zsh, fish"}},
		{[]string{"readme", "--check", "--platform", "linux/mips"}, []string{"--platform", "ci readme --help"}},
		{[]string{"readme", "--check", "--timeout", "-5s"}, []string{"--timeout", "ci readme --help"}},
		{[]string{"verify", "x", "--timeout", "5s"}, []string{"--timeout", "ci verify --help"}},
		{[]string{"clean", "--wait", "-5s"}, []string{"--wait -5s", "10m"}},
		{[]string{"merge", "--wait", "-5s"}, []string{"--wait -5s", "10m"}},
		{[]string{"readme", "--wait", "-5s"}, []string{"--wait -5s", "10m"}},
		{[]string{"check", "now"}, []string{`leave "now" out`}},
		{[]string{"build", "--platform", "linux/riscv64"}, []string{`"linux/riscv64"`, "--platform linux/amd64"}},
		{[]string{"build", "--platform", "windows/amd64"}, []string{`"windows/amd64"`, "--platform linux/amd64"}},
		{[]string{"build", "--platform", "linux/arm64/v7"}, []string{`"linux/arm64/v7"`, "--platform linux/amd64"}},
		{[]string{"build", "--platform", ""}, []string{"there is none", "--platform linux/amd64"}},
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
			args := test.args
			for flag, value := range map[string]string{"--output": output, "--repo": ".."} {
				if reads(t, args[0], flag) && !slices.Contains(args, flag) {
					args = append(slices.Clip(args), flag, value)
				}
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

func TestErrorsInFilesAreReportedWithFileAndLine(t *testing.T) {
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

// verbs returns the names of all verbs.
func verbs(t *testing.T) (names []string) {
	t.Helper()
	root, _ := newRoot(streams{out: io.Discard, err: io.Discard}, func(string) string { return "" })
	for _, c := range root.Commands() {
		names = append(names, c.Name())
	}
	return names
}

func TestEveryVerbHasHelpWithAnExample(t *testing.T) {
	names := verbs(t)
	if len(names) < 13 {
		t.Fatalf("only the verbs %q were found", names)
	}
	for _, verb := range names {
		t.Run(verb, func(t *testing.T) {
			stdout, stderr, code := invoke(t, t.Context(), verb, "--help")
			if code != 0 || stderr != "" {
				t.Errorf("status %d, %q", code, stderr)
			}
			for _, want := range []string{
				"Usage:\n  go run ./ci " + verb, "Examples:\n  go run ./ci " + verb,
				"Exit status: 0 success, 1 a check failed, 2 wrong use",
			} {
				if !strings.Contains(stdout, want) {
					t.Errorf("it does not say %q", want)
				}
			}
			about, _, _ := strings.Cut(stdout, "\nUsage:")
			if about = strings.Join(strings.Fields(about), " "); !strings.Contains(about, "tandard output") {
				t.Errorf("it does not say what standard output carries: %s", about)
			}
			// The help names the file that the verb writes, or says that it writes none.
			if !regexp.MustCompile(`dist/|\.(md|yml)\b|no file is written|[Rr]emove`).MatchString(about) {
				t.Errorf("it does not say what it writes: %s", about)
			}
			for line := range strings.Lines(stdout) {
				if _, example := strings.CutPrefix(line, "  go run ./ci "); len(line) > 81 && !example {
					t.Errorf("wider than a terminal of 80 columns: %s", line)
				}
			}
			if help, _, code := invoke(t, t.Context(), "help", verb); code != 0 || help != stdout {
				t.Errorf("help %s: status %d, and not what --help says:\n%s", verb, code, help)
			}
		})
	}
}

func TestHelpListsEveryVerbIn80Columns(t *testing.T) {
	for _, args := range [][]string{nil, {"help"}, {"--help"}} {
		stdout, stderr, code := invoke(t, t.Context(), args...)
		if code != 0 || stderr != "" {
			t.Errorf("%q: status %d, %q", args, code, stderr)
		}
		for _, verb := range verbs(t) {
			if !strings.Contains(stdout, "\n  "+verb+" ") {
				t.Errorf("%q does not list %s", args, verb)
			}
		}
		for line := range strings.Lines(stdout) {
			if len(line) > 81 {
				t.Errorf("wider than a terminal of 80 columns: %s", line)
			}
		}
	}
}

func TestValuesAreCompleted(t *testing.T) {
	for _, test := range []struct {
		args, want string
	}{
		{"chec", "check"},
		{"help re", "readme release report"},
		{"completion ", "bash zsh fish"},
		{"check --plat", "--platform"},
		{"check --platform ", "linux/amd64 linux/arm64"},
		{"check --platform linux/arm64,", "linux/arm64,linux/amd64"},
		{"build --engine=", "local dagger"},
		{"build --netbox ", "4.7.3 4.7.2"},
		{"release --netbox ", "4.7.3 4.7.2"},
		{"check --base loc", "local"},
		{"check --base g", "ghcr.io/linuxserver/baseimage-alpine:3.20"},
		{"check --base o", "oci:"},
		{"check --base oci:dag", "oci:dagger/"},
		{"publish --to quay.io/linuxserver.io/ne", "quay.io/linuxserver.io/netbox"},
		{"check --timeout ", ""},
		{"check --to x --json ", ""}, // a verb takes no argument, so no file either
	} {
		args := append([]string{"__complete"}, strings.Split(test.args, " ")...)
		if reads(t, args[1], "--repo") {
			args = slices.Insert(args, 2, "--repo", "..")
		}
		stdout, _, code := invoke(t, t.Context(), args...)
		var got []string
		for line := range strings.Lines(stdout) {
			value, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			typed := test.args[strings.LastIndexAny(test.args, " =")+1:]
			if !strings.HasPrefix(value, ":") && strings.HasPrefix(value, typed) { // the shells filter by prefix
				got = append(got, value)
			}
		}
		if code != 0 || strings.Join(got, " ") != test.want {
			t.Errorf("%q: status %d, %q, want %q", test.args, code, got, test.want)
		}
	}
}

// Only flags whose help calls the value a file or a directory complete paths.
func TestFilesAreCompletedWhereAFileIsAskedFor(t *testing.T) {
	for args, want := range map[string]string{
		"merge --plan ": ":0", "merge --reports ": ":16", "check --output ": ":16", "readme --repo ": ":16", "check --wait ": ":4", "release --number ": ":4",
	} {
		stdout, _, _ := invoke(t, t.Context(), append([]string{"__complete"}, strings.Split(args, " ")...)...)
		if strings.TrimSpace(stdout) != want {
			t.Errorf("%q: %q, want %q", args, stdout, want)
		}
	}
}

// documents returns a repository with all inputs of README.md.
func documents(t *testing.T) (repo string) {
	t.Helper()
	repo = t.TempDir()
	for _, name := range []string{
		"readme-vars.yml", "README.md", ".github/maintainers.md", "tools/d2/go.mod", "tools/d2/go.sum",
		".github/init-graph-light.svg", ".github/init-graph-dark.svg",
		"docs/configuration.md", "docs/proxy.md", "docs/ldap.md", "docs/operation.md", "docs/migration.md",
	} {
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
	return repo
}

func TestReadmeWritesOnlyWhatDiffers(t *testing.T) {
	repo, output := documents(t), t.TempDir()
	readme := func(args ...string) (stdout, stderr string, code int) {
		return invoke(t, t.Context(), append([]string{"readme", "--repo", repo, "--output", output}, args...)...)
	}
	if stdout, stderr, code := readme("--check"); code != 0 || stdout != "" {
		t.Fatalf("--check of the repository's own: status %d, %s%s", code, stdout, stderr)
	}
	page := filepath.Join(repo, "README.md")
	if err := os.WriteFile(page, []byte("edited by hand\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := readme("--check")
	if code != failure.ExitCheck || !strings.Contains(stdout, "\n-edited by hand\n") || !strings.Contains(stderr, "go run ./ci readme") {
		t.Errorf("--check: status %d, %q", code, stderr)
	}
	site := filepath.Join(output, "docs", "docker-netbox.md")
	if stdout, stderr, code := readme(); code != 0 || stdout != "written: README.md, "+site+"\n" {
		t.Errorf("status %d, %q, %q", code, stdout, stderr)
	}
	if stdout, _, code := readme("--docs", site); code != 0 || !strings.HasPrefix(stdout, "up to date: ") {
		t.Errorf("a second time: status %d, %q", code, stdout)
	}
	if _, _, code := readme("--check", "--docs", site); code != 0 {
		t.Errorf("--check of what was written: status %d", code)
	}
	if err := os.WriteFile(site, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if stdout, stderr, code := readme("--check", "--docs", site); code != failure.ExitCheck || !strings.HasPrefix(stdout, "--- "+site+"\n") || !strings.Contains(stderr, site) {
		t.Errorf("--check of the site's page: status %d, %q", code, stderr)
	}
}

// The repository of another image only needs readme-vars.yml.
func TestReadmeIsWrittenForAnyImage(t *testing.T) {
	files, err := filepath.Glob("../pipeline/readme/testdata/*.yml")
	if err != nil || len(files) < 12 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		repo := t.TempDir()
		vars, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(repo, "readme-vars.yml"), vars, 0o644); err != nil {
			t.Fatal(err)
		}
		site := filepath.Join(repo, "site.md")
		_, stderr, code := invoke(t, t.Context(), "readme", "--repo", repo, "--docs", site)
		if code != 0 {
			t.Errorf("%s: status %d, %s", file, code, stderr)
		}
		for page, golden := range map[string]string{filepath.Join(repo, "README.md"): ".md", site: ".docs.md"} {
			have, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(strings.TrimSuffix(file, ".yml") + golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(have, want) {
				t.Errorf("%s: %s is not %s", file, page, golden)
			}
		}
	}
}

func TestAnOutdatedPictureIsReportedAndDrawnAgain(t *testing.T) {
	repo, output := documents(t), t.TempDir()
	vars := filepath.Join(repo, "readme-vars.yml")
	text, err := os.ReadFile(vars)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("    init-services -> svc-cron\n"), []byte("    init-services -> svc-other\n"), 1)
	if err := os.WriteFile(vars, text, 0o644); err != nil {
		t.Fatal(err)
	}
	stdout, _, code := invoke(t, t.Context(), "readme", "--check", "--repo", repo)
	for _, look := range []string{"light", "dark"} {
		if code != failure.ExitCheck || !strings.Contains(stdout, "--- .github/init-graph-"+look+".svg\n") {
			t.Errorf("status %d, the %s picture is not named:\n%s", code, look, stdout)
		}
	}
	if _, stderr, code := invoke(t, t.Context(), "readme", "--repo", repo, "--output", output); code != 0 {
		t.Fatalf("status %d, %s", code, stderr)
	}
	for _, look := range []string{"light", "dark"} {
		svg, err := os.ReadFile(filepath.Join(repo, ".github/init-graph-"+look+".svg"))
		if err != nil || !bytes.Contains(svg, []byte(">svc-other<")) {
			t.Errorf("the %s picture does not show svc-other, %v", look, err)
		}
	}
	if stdout, _, code := invoke(t, t.Context(), "readme", "--check", "--repo", repo); code != 0 {
		t.Errorf("--check of what was written: status %d\n%s", code, stdout)
	}
}

func TestCleanRemovesOnlyWhatTheVerbsWrite(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	output := t.TempDir()
	for _, name := range []string{"image/index.json", "release/title", "report/report.json", "mine/notes.txt"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(output, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(output, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stdout, stderr, code := invoke(t, t.Context(), "clean", "--output", output)
	if want := filepath.Join(output, "image") + "\n" + filepath.Join(output, "release") + "\n" + filepath.Join(output, "report") + "\n"; code != 0 || stdout != want || !regexp.MustCompile(`^freed \d+\.\d MB\n$`).MatchString(stderr) {
		t.Errorf("status %d, %q, %q", code, stdout, stderr)
	}
	if _, err := os.Stat(filepath.Join(output, "mine/notes.txt")); err != nil {
		t.Errorf("it removed what is not its own: %v", err)
	}
}

// A file with two hard links counts once.
func TestCleanPrintsTheDiskThatTheCacheTook(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", home)
	cache, output := filepath.Join(home, pipeline.Project), t.TempDir()
	tool := filepath.Join(cache, "engine", "tool")
	for file, size := range map[string]int{tool: 8 << 20, filepath.Join(output, "image", "blob"): 2 << 20} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, bytes.Repeat([]byte("x"), size), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(tool, tool+"-again"); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := invoke(t, t.Context(), "clean", "--cache", "--json", "--output", output)
	var got cleanResult
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 0 {
		t.Fatalf("status %d, %v: %q, %q", code, err, stdout, stderr)
	}
	if want := []string{filepath.Join(output, "image"), cache}; !slices.Equal(got.Removed, want) {
		t.Errorf("removed %q, want %q", got.Removed, want)
	}
	if got.Bytes < 10<<20 || got.Bytes > 11<<20 {
		t.Errorf("10 MiB of files freed %d bytes", got.Bytes)
	}
	if want := fmt.Sprintf("freed %.1f MB\n", float64(got.Bytes)/1e6); stderr != want {
		t.Errorf("printed %q, want %q", stderr, want)
	}
	if _, err := os.Stat(cache); !os.IsNotExist(err) {
		t.Errorf("the cache is still there: %v", err)
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

func TestErrorsAfterTheSummaryArePrinted(t *testing.T) {
	printed := printedError{errors.New("the boot failed")}
	err := errors.Join(printed, errors.New("remove the pod's directory: it is busy"))
	if got := failure.Lines(unprinted(err)); len(got) != 1 || !strings.Contains(got[0], "it is busy") {
		t.Errorf("printed: %q", got)
	}
	if err := unprinted(printed); err != nil {
		t.Errorf("printed twice: %v", err)
	}
}

func TestTheRepositoryIsFoundInParentDirectories(t *testing.T) {
	repo := t.TempDir()
	file := filepath.Join(repo, "readme-vars.yml")
	below := filepath.Join(repo, "pipeline", "base")
	if err := errors.Join(os.MkdirAll(below, 0o755), os.WriteFile(filepath.Join(repo, "versions.yml"), nil, 0o644),
		os.WriteFile(file, []byte("project_name: [\r\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	t.Chdir(below)
	_, stderr, code := invoke(t, t.Context(), "readme", "--check")
	if code != failure.ExitUsage || !strings.Contains(stderr, "CRLF") { // an error in the files of the parent directory
		t.Errorf("status %d, %q", code, stderr)
	}
	output := filepath.Join(repo, "dist", "image")
	if err := os.MkdirAll(output, 0o755); err != nil {
		t.Fatal(err)
	}
	stdout, _, _ := invoke(t, t.Context(), "clean")
	if _, err := os.Stat(output); err == nil || stdout != "../../dist/image\n" {
		t.Errorf("clean from below removed %q, %v", stdout, err)
	}
}
