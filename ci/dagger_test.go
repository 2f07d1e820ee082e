package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/tests/testrepo"
)

// generated replaces the code that Dagger generates when it loads the module. It has
// types like those of the SDK, and the same imports as Dagger's generated code.
var generated = map[string]string{
	"internal/dagger/dagger.gen.go": `package dagger

import (
	sdk "dagger.io/dagger"
	_ "github.com/Khan/genqlient/graphql"
	_ "github.com/dagger/otel-go"
	_ "github.com/dagger/querybuilder"
	_ "github.com/vektah/gqlparser/v2/gqlerror"
	_ "go.opentelemetry.io/otel"
	_ "go.opentelemetry.io/otel/propagation"
	_ "go.opentelemetry.io/otel/sdk/resource"
	_ "go.opentelemetry.io/otel/semconv/v1.40.0"
	_ "go.opentelemetry.io/otel/trace"
)

type (
	Changeset = sdk.Changeset
	Client    = sdk.Client
	Container = sdk.Container
	Directory = sdk.Directory
	File      = sdk.File
	ID        = sdk.ID
	Platform  = sdk.Platform
	Secret    = sdk.Secret
	Service   = sdk.Service
)

func Ref[T sdk.Loadable[T]](c *Client, id ID) T { return sdk.Ref[T](c, id) }
`,
	"dagger.gen.go": `package main

import "dagger/netbox/internal/dagger"

var dag *dagger.Client

func main() {}
`,
}

// Dagger loads the module with only its go.mod and go.sum. If they are incomplete, it
// fails with "no packages found".
func TestTheDaggerModuleCompilesAndItsRequirementsAreComplete(t *testing.T) {
	module, err := filepath.Abs("dagger")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{} // path as seen by the compiler, and the real path
	for name, text := range generated {
		file := filepath.Join(t.TempDir(), filepath.Base(name))
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		files[filepath.Join(module, name)] = file
	}
	data, err := json.Marshal(map[string]any{"Replace": files})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(overlay, data, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-mod=readonly", "-buildvcs=false", "-overlay", overlay, "-o", os.DevNull, ".")
	cmd.Dir = module
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: when requirements changed, ci/dagger/go.mod has to be tidied\n%s", err, out)
	}

	// The engine only gets the files that dagger.json includes.
	cmd = exec.Command("go", "list", "-mod=readonly", "-overlay", overlay, "-deps", "-f", "{{if .Module}}{{.Module.Path}} {{.ImportPath}}{{end}}", ".")
	cmd.Dir = module
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	const root = "github.com/linuxserver/docker-netbox"
	for line := range strings.Lines(string(out)) {
		module, pkg, _ := strings.Cut(strings.TrimSpace(line), " ")
		if module == root && !strings.HasPrefix(pkg, root+"/pipeline/") && pkg != root+"/pipeline" {
			t.Errorf("the module needs %s, which dagger.json does not include", pkg)
		}
	}
}

func TestTheDaggerModuleAndTheLibraryUseOneEngineVersion(t *testing.T) {
	var config struct {
		EngineVersion, Source string
		Include               []string
	}
	data, err := os.ReadFile("../dagger.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"../go.mod", "dagger/go.mod"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if want := "\tdagger.io/dagger " + config.EngineVersion; !strings.Contains(string(data), want+"\n") && !strings.Contains(string(data), want+" // indirect\n") {
			t.Errorf("dagger.json is for %s, and %s is not", config.EngineVersion, file)
		}
	}
	for _, file := range []string{"dagger/tests/dagger.json", "dagger/examples/go/dagger.json"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), `"engineVersion": "`+config.EngineVersion+`"`) {
			t.Errorf("dagger.json is for %s, and %s is not", config.EngineVersion, file)
		}
	}
	// Without the tests: "go mod tidy" in the engine would also need their imports.
	if config.Source != "ci/dagger" || strings.Join(config.Include, " ") != "go.mod go.sum pipeline !**/*_test.go" {
		t.Errorf("dagger.json has the source %q and includes %q", config.Source, config.Include)
	}
}

var ignored = regexp.MustCompile(`// \+ignore=(\[.*\])\n\tsource `)

// The files that "git status" and "git fetch" write are not part of the source:
// otherwise each would invalidate the cache of every function.
func TestTheModulesSourceIsTheSameAfterGitStatus(t *testing.T) {
	text, err := os.ReadFile("dagger/main.go")
	if err != nil {
		t.Fatal(err)
	}
	m := ignored.FindSubmatch(text)
	if m == nil {
		t.Fatal("the source has no +ignore")
	}
	var patterns []string
	if err := json.Unmarshal(m[1], &patterns); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("text\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	testrepo.Commit(t, dir)
	const sums = `find .git -type f -exec sha256sum {} +`
	before := testrepo.Sh(t, dir, sums)
	testrepo.Sh(t, dir, `touch -d 2026-01-02 file && git status && git fetch -q . main`)
	changed := 0
	for line := range strings.Lines(testrepo.Sh(t, dir, sums)) {
		line = strings.TrimSpace(line)
		if strings.Contains(before, line) {
			continue
		}
		changed++
		_, file, _ := strings.Cut(line, "  ")
		if !slices.ContainsFunc(patterns, func(pattern string) bool {
			matched, err := path.Match(pattern, file)
			return err == nil && matched
		}) {
			t.Errorf("%s is part of the source", file)
		}
	}
	if changed < 2 {
		t.Errorf("%d files have changed, want the index and FETCH_HEAD", changed)
	}
}

// The example reads a file that exists in the image.
func TestTheExampleReadsAFileOfTheImage(t *testing.T) {
	example, err := os.ReadFile("dagger/examples/go/main.go")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`\.File\("([^"]+)"\)`).FindSubmatch(example)
	if m == nil {
		t.Fatal("no example reads a file")
	}
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^COPY .* ` + regexp.QuoteMeta(string(m[1])) + `$`).Match(text) {
		t.Errorf("no instruction of the Dockerfile copies %s", m[1])
	}
}
