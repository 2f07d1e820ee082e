package workflows

import (
	"encoding/json"
	"go/version"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// This version of Dagger's engine builds modules with at least this version of Go.
const (
	engineVersion = "v0.21.8"
	engineGo      = "go1.26.1"
)

var (
	goLine        = regexp.MustCompile(`(?m)^go (\S+)`)
	toolchainLine = regexp.MustCompile(`(?m)^toolchain (\S+)`)
)

// needs returns the oldest Go that accepts a go.mod. installs returns the Go that
// actions/setup-go installs for it. Both are for GOTOOLCHAIN=local.
func needs(mod string) string { return "go" + first(goLine, mod) }

func installs(mod string) string {
	if toolchain := first(toolchainLine, mod); toolchain != "" {
		return toolchain
	}
	return needs(mod)
}

func first(line *regexp.Regexp, text string) string {
	if m := line.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

// The workflows only install the Go version in the toolchain line of the root's
// go.mod, so it must be recent enough for every module.
func TestOneGoBuildsEveryModule(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "-z", "--", "go.mod", "**/go.mod").Output()
	if err != nil {
		t.Fatal(err)
	}
	files := strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
	if len(files) < 7 {
		t.Fatalf("modules: %q", files)
	}
	mods := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		mods[file] = string(text)
	}
	have := installs(mods["go.mod"])
	if !version.IsValid(have) || have == version.Lang(have) {
		t.Fatalf("go.mod has setup-go install %q, want a release with all its numbers", have)
	}
	for file, mod := range mods {
		if version.Compare(needs(mod), have) > 0 {
			t.Errorf("%s needs %s, the workflows install %s: raise the toolchain line of go.mod", file, needs(mod), have)
		}
		if file != "go.mod" && toolchainLine.MatchString(mod) {
			t.Errorf("%s has a toolchain line of its own: the one in go.mod is for all", file)
		}
	}
	for _, name := range actions(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "go-version:") || !strings.Contains(string(text), "go-version-file: go.mod\n") {
			t.Errorf("%s does not install the Go of go.mod", name)
		}
	}

	// Dagger's engine compiles ci/dagger and with it the root module.
	var dagger struct{ EngineVersion string }
	text, err := os.ReadFile(filepath.Join(root, "dagger.json"))
	if err == nil {
		err = json.Unmarshal(text, &dagger)
	}
	if err != nil || dagger.EngineVersion != engineVersion {
		t.Fatalf("dagger.json: %+v, %v: find out which Go the new engine has", dagger, err)
	}
	for _, file := range []string{"go.mod", "ci/dagger/go.mod"} {
		if version.Compare(needs(mods[file]), engineGo) > 0 {
			t.Errorf("%s needs %s: the engine %s is only known to have %s", file, needs(mods[file]), engineVersion, engineGo)
		}
	}
}

func TestSetupGoPrefersTheToolchainLine(t *testing.T) {
	for mod, want := range map[string]string{
		"module a\n\ngo 1.26.1\n":                       "go1.26.1",
		"module a\n\ngo 1.26.1\n\ntoolchain go1.26.8\n": "go1.26.8",
	} {
		if got := installs(mod); got != want {
			t.Errorf("%q: %s, want %s", mod, got, want)
		}
	}
}

// An older Go fails before any program of this repository can explain why.
func TestThePagesNameTheGoThatIsNeeded(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	want := "Go " + strings.TrimPrefix(version.Lang(needs(string(mod))), "go")
	for _, page := range []string{"README.md", "docs/maintaining.md"} {
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), want) || !strings.Contains(string(text), "GOTOOLCHAIN=auto") {
			t.Errorf("%s does not say that it takes %s, or how an older one gets it", page, want)
		}
	}
}
