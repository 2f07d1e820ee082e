package rehearsal

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/attest"
	"github.com/linuxserver/docker-netbox/pipeline/gotool"
	"github.com/linuxserver/docker-netbox/tests/need"
	"github.com/linuxserver/docker-netbox/tests/testrepo"
)

var (
	soak  = flag.Bool("soak", false, "run an image job whole, in its container")
	limit = flag.Duration("limit", 10*time.Minute, "limit for one workflow that is rehearsed without containers")
)

const (
	repository = "linuxserver/docker-netbox"
	ghcr       = "ghcr.io"
	token      = "ghs_rehearsal0000"
)

// secrets are the secrets of the environment release.
var secrets = map[string]string{
	"DOCKERHUB_USERNAME": "lsio-docker", "DOCKERHUB_TOKEN": "dckr-rehearsal",
	"GITLAB_USERNAME": "lsio-gitlab", "GITLAB_TOKEN": "glpat-rehearsal",
	"QUAY_USERNAME": "lsio-quay", "QUAY_TOKEN": "quay-rehearsal",
}

// world simulates GitHub with one repository, and the registries it publishes to.
type world struct {
	state   string // directory of the data that outlives a job
	source  string // clone of the repository for commits
	actions string // directory of the actions
	bin     string // first directory in the PATH of jobs
	cache   string // XDG_CACHE_HOME of jobs
	network *network
	environ map[string]string // of jobs
	act     string
	runs    int
}

// newWorld creates a world whose repository has this working tree as its only commit.
func newWorld(t *testing.T) *world {
	t.Helper()
	need.Root(t, "rehearsing the workflows")
	dir := t.TempDir()
	w := &world{
		state: filepath.Join(dir, "state"), source: filepath.Join(dir, "source"), actions: filepath.Join(dir, "actions"),
		bin: filepath.Join(dir, "bin"), cache: filepath.Join(dir, "cache"),
	}
	for _, d := range []string{filepath.Join(w.state, "gh"), w.source, w.bin, w.cache, filepath.Join(dir, "home")} {
		must(t, os.MkdirAll(d, 0o755))
	}
	w.copyRepository(t)
	w.network = newNetwork(t, map[string]*hub{
		ghcr:                  {user: "octocat", password: token},
		"index.docker.io":     {user: secrets["DOCKERHUB_USERNAME"], password: secrets["DOCKERHUB_TOKEN"]},
		"registry.gitlab.com": {user: secrets["GITLAB_USERNAME"], password: secrets["GITLAB_TOKEN"]},
		"quay.io":             {user: secrets["QUAY_USERNAME"], password: secrets["QUAY_TOKEN"]},
	})

	settings := goSettings(t)
	w.act = tool(t, "act", "github.com/nektos/act")
	w.environ = map[string]string{
		"HOME": filepath.Join(dir, "home"), "XDG_CACHE_HOME": w.cache, "LANG": "C.UTF-8",
		"PATH":   w.bin + ":" + pathWithoutGo(),
		"TMPDIR": os.TempDir(),
		// With -trimpath jobs in different directories share the build cache.
		"GOFLAGS": "-trimpath", "GOCACHE": settings["GOCACHE"], "GOMODCACHE": settings["GOMODCACHE"],
		"GOPROXY": settings["GOPROXY"], "GOSUMDB": settings["GOSUMDB"], "GONOSUMDB": settings["GONOSUMDB"],
		"HTTPS_PROXY": w.network.proxy.URL, "https_proxy": w.network.proxy.URL, "NO_PROXY": "localhost,127.0.0.1",
		"SSL_CERT_FILE": w.network.roots,
		"REHEARSAL":     w.state, "REHEARSAL_GO": filepath.Join(settings["GOROOT"], "bin", "go"),
		"REHEARSAL_JQ": tool(t, "act", "github.com/itchyny/gojq/cmd/gojq"),
	}
	w.standIns(t)
	return w
}

// goSettings returns the output of go env for the go command that runs the tests.
func goSettings(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "-json").Output()
	must(t, err)
	settings := map[string]string{}
	must(t, json.Unmarshal(out, &settings))
	return settings
}

// pathWithoutGo returns PATH without the directories that contain Go: a job gets
// its Go from setup-go.
func pathWithoutGo() string {
	return strings.Join(slices.DeleteFunc(filepath.SplitList(os.Getenv("PATH")), func(dir string) bool {
		_, err := os.Stat(filepath.Join(dir, "go"))
		return err == nil && dir != "/usr/bin" // keep /usr/bin for the other programs
	}), ":")
}

// module returns a Go module under tools.
func module(t *testing.T, name string) gotool.Module {
	t.Helper()
	cache, err := os.UserCacheDir()
	must(t, err)
	dir, err := filepath.Abs(filepath.Join("../../tools", name))
	must(t, err)
	return gotool.Module{Dir: dir, Cache: filepath.Join(cache, "docker-netbox", "tools"), Environ: os.Environ(), Wait: 20 * time.Minute}
}

// tool builds a program of a module under tools and returns its path.
func tool(t *testing.T, name, pkg string) string {
	t.Helper()
	program, err := module(t, name).Program(t.Context(), os.Stderr, pkg)
	must(t, err)
	return program
}

// copyRepository creates the bare repository that jobs check out, and the clone.
func (w *world) copyRepository(t *testing.T) {
	t.Helper()
	root, err := filepath.Abs("../..")
	must(t, err)
	testrepo.Copy(t, root, w.source)
	testrepo.Commit(t, w.source)
	testrepo.Sh(t, w.source, `git clone -q --bare . "$1/origin.git" && git remote add origin "$1/origin.git" && git -C "$1/origin.git" config uploadpack.allowAnySHA1InWant true`, w.state)
}

// commit commits a file to a branch, pushes it and returns the commit.
func (w *world) commit(t *testing.T, branch, file, text string) string {
	t.Helper()
	testrepo.Sh(t, w.source, `git fetch -q origin && git checkout -q -B "$1" "$(git rev-parse -q --verify "origin/$1" || git rev-parse origin/main)"`, branch)
	must(t, os.MkdirAll(filepath.Dir(filepath.Join(w.source, file)), 0o755))
	must(t, os.WriteFile(filepath.Join(w.source, file), []byte(text), 0o644))
	testrepo.Sh(t, w.source, `git add -A && git commit -q -m "$1" && git push -q origin "$2"`, "change "+file, branch)
	return w.sha(t, branch)
}

// sha returns the commit of a branch or a tag, "" when there is none.
func (w *world) sha(t *testing.T, ref string) string {
	t.Helper()
	return testrepo.Sh(t, w.state, `git --git-dir origin.git rev-parse -q --verify "$1^{commit}" || true`, ref)
}

// actions lists the actions with a stand-in: the supported inputs and their defaults.
var actions = map[string]map[string]string{
	"actions/checkout":          {"fetch-depth": "1", "persist-credentials": "true"},
	"actions/setup-go":          {"go-version-file": "", "cache": "true", "cache-dependency-path": ""},
	"actions/upload-artifact":   {"name": "artifact", "path": "", "if-no-files-found": "warn", "retention-days": "", "overwrite": "false"},
	"actions/download-artifact": {"name": "", "pattern": "*", "path": "."},
}

// standIns replaces the actions and the programs with the stand-in.
func (w *world) standIns(t *testing.T) {
	t.Helper()
	program := filepath.Join(filepath.Dir(w.bin), "standin")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", program, "./standin")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the stand-in: %v: %s", err, out)
	}
	for _, name := range []string{"gh", "go", "gofmt", "apt-get"} {
		must(t, os.Symlink(program, filepath.Join(w.bin, name)))
	}
	for name, inputs := range actions {
		dir := filepath.Join(w.actions, name)
		must(t, os.MkdirAll(dir, 0o755))
		text := "name: " + name + "\ndescription: a stand-in\ninputs:\n"
		for _, input := range slices.Sorted(maps.Keys(inputs)) {
			text += fmt.Sprintf("  %s: {description: an input, default: %q}\n", input, inputs[input])
		}
		text += fmt.Sprintf("runs:\n  using: composite\n  steps:\n    - shell: bash\n      run: %s %s\n      env: {INPUTS: \"${{ toJSON(inputs) }}\"}\n", program, filepath.Base(name))
		must(t, os.WriteFile(filepath.Join(dir, "action.yml"), []byte(text), 0o644))
	}
	w.environ["REHEARSAL_STANDIN"] = program
	w.plant(t, "d2", "d2", tool(t, "d2", "oss.terrastruct.com/d2"))
	w.plant(t, "cosign", "cosign", program)
	// Another test runs the real linters; here they would analyse all of Go.
	for _, linter := range []string{"staticcheck", "unparam", "deadcode"} {
		w.plant(t, "lint", linter, program)
	}
	w.plant(t, "", "actionlint", program)
}

// plant links a program to the path where a job expects the pinned one that was
// built from a module under tools.
func (w *world) plant(t *testing.T, module, name, program string) {
	t.Helper()
	gomod, err := os.ReadFile(filepath.Join(w.source, "go.mod"))
	must(t, err)
	version := regexp.MustCompile(`(?m)^(?:toolchain go|go )(\S+)`).FindAllSubmatch(gomod, -1)
	m := gotool.Module{
		Dir: filepath.Join(w.source, "tools", module), Cache: filepath.Join(w.cache, "docker-netbox", "tools"),
		Environ: append(os.Environ(), "GOFLAGS=-trimpath", "GOTOOLCHAIN=go"+string(version[len(version)-1][1])),
	}
	bin, err := m.Bin(t.Context())
	must(t, err)
	must(t, os.MkdirAll(bin, 0o755))
	must(t, os.Symlink(program, filepath.Join(bin, name)))
}

// trust starts a Sigstore that certifies a workflow on a ref, and configures jobs
// to sign with it and to trust it. Cosign takes minutes to build: if it is not
// built yet, the signed data is compared instead.
func (w *world) trust(t *testing.T, workflow, ref string) {
	t.Helper()
	w.environ["REHEARSAL_ROOTS"] = filepath.Join(w.state, "roots.json")
	bin, err := module(t, "cosign").Bin(t.Context())
	must(t, err)
	if _, err := os.Stat(filepath.Join(bin, "cosign")); err == nil || *soak {
		w.environ["REHEARSAL_COSIGN"] = tool(t, "cosign", attest.CosignPackage)
	} else {
		t.Log("cosign is not built: signatures are compared with what was signed, not verified")
	}
	w.environ["REHEARSAL_SIGSTORE"] = startSigstore(t, tool(t, "cosign", "github.com/linuxserver/docker-netbox/tools/cosign/sigstore"),
		"https://github.com/"+repository+"/.github/workflows/"+workflow+".yml@"+ref, w.environ["REHEARSAL_ROOTS"])
}

// ghCalls returns the calls of gh since the last call of ghCalls.
func (w *world) ghCalls(t *testing.T) []string {
	t.Helper()
	file := filepath.Join(w.state, "gh", "calls")
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return nil
	}
	must(t, err)
	must(t, os.Remove(file))
	var calls []string
	for line := range strings.Lines(string(text)) {
		var args []string
		must(t, json.Unmarshal([]byte(line), &args))
		calls = append(calls, strings.Join(args, " "))
	}
	return calls
}

// remember adds an object to a list that the stand-in for gh reads: runs or pulls.
func (w *world) remember(t *testing.T, list string, object map[string]any) {
	t.Helper()
	text, err := json.Marshal(object)
	must(t, err)
	f, err := os.OpenFile(filepath.Join(w.state, "gh", list), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	must(t, err)
	_, err = fmt.Fprintf(f, "%s\n", text)
	must(t, err)
	must(t, f.Close())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
