package enginetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

// Options say what the contract is checked with.
type Options struct {
	// Platforms that the engine can build and run here; the first is used
	// where one is enough.
	Platforms []v1.Platform
	// Leftovers lists what the engine's runs have left on the machine; nil for
	// an engine that runs things elsewhere.
	Leftovers func() []string
	// NoTmpfsCapture is set for an engine that cannot bring a file back from a
	// temporary file system; it has to say so.
	NoTmpfsCapture bool
}

// contract is one engine on trial.
type contract struct {
	engine.Engine
	Options
	base v1.ImageIndex
}

// Run checks that an engine keeps the contract of pipeline/engine.
func Run(t *testing.T, e engine.Engine, opts Options) {
	c := &contract{Engine: e, Options: opts, base: Base(t, opts.Platforms...)}
	for _, p := range opts.Platforms {
		t.Run("Build/"+p.Architecture, func(t *testing.T) { c.builds(t, p) })
		t.Run("Run/"+p.Architecture, func(t *testing.T) { c.runs(t, p) })
	}
	t.Run("Build/Natively", c.natively)
	t.Run("Build/ContextAndTarget", c.contextAndTarget)
	t.Run("Build/FailingInstruction", c.failingInstruction)
	t.Run("Build/BadDockerfile", c.badDockerfile)
	t.Run("Build/Cancel", c.cancelBuild)
	t.Run("Run/Sides", c.sides)
	t.Run("Run/SideThatEnds", c.sideThatEnds)
	t.Run("Run/SideNeverReady", c.sideNeverReady)
	t.Run("Run/Timeout", c.timeout)
	t.Run("Run/Killed", c.killed)
	t.Run("Run/Secrets", c.secrets)
	t.Run("Run/Files", c.files)
	t.Run("Run/NoSuchProgram", c.noSuchProgram)
	t.Run("Run/Cancel", c.cancelRun)
}

// build builds a Dockerfile on the tiny base.
func (c *contract) build(t *testing.T, p v1.Platform, dockerfile string, change func(*engine.BuildRequest)) (v1.Image, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	return c.buildIn(ctx, t, p, dockerfile, change)
}

func (c *contract) buildIn(ctx context.Context, t *testing.T, p v1.Platform, dockerfile string, change func(*engine.BuildRequest)) (v1.Image, string, error) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Dockerfile"), dockerfile)
	write(t, filepath.Join(dir, "copied.txt"), "from the context")
	var log bytes.Buffer
	req := engine.BuildRequest{
		Platform: p, Context: dir, Dockerfile: "Dockerfile", Base: engine.Base{Index: c.base},
		Epoch: time.Unix(1_700_000_000, 0), Log: &log,
	}
	if change != nil {
		change(&req)
	}
	img, err := c.Build(ctx, req)
	return img, log.String(), err
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (c *contract) builds(t *testing.T, p v1.Platform) {
	const dockerfile = `ARG BASE_IMAGE
FROM ${BASE_IMAGE}
ARG VERSION
ARG TARGETARCH
ARG OWN=default
ENV SET_BY_ENV=kept
RUN print version $VERSION on $TARGETARCH; write /version $VERSION $TARGETARCH $OWN
CMD ["/bin/tiny", "cat", "/version"]
`
	// Never built before: a step from the cache prints nothing.
	version := "4.7.3-" + rand.Text()
	args := func(req *engine.BuildRequest) { req.Args = map[string]string{"VERSION": version} }
	img, log, err := c.build(t, p, dockerfile, args)
	if err != nil {
		t.Fatal(err)
	}
	if want := "version " + version + " on " + p.Architecture; !strings.Contains(log, want) {
		t.Errorf("the build's log lacks what RUN printed, %q:\n%s", want, log)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.OS != p.OS || config.Architecture != p.Architecture {
		t.Errorf("platform is %s/%s, want %s", config.OS, config.Architecture, p)
	}
	env := slices.Sorted(slices.Values(config.Config.Env))
	if want := []string{"FROM_BASE=kept", "PATH=/bin", "SET_BY_ENV=kept"}; !slices.Equal(env, want) {
		t.Errorf("Env is %q, want %q: build arguments have no business there", env, want)
	}
	if want := time.Unix(1_700_000_000, 0); !config.Created.Equal(want) {
		t.Errorf("created %s, want the epoch asked for, %s", config.Created, want)
	}
	noneNewer(t, img, config.Created.Time)
	again, _, err := c.build(t, p, dockerfile, args)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := digest(t, img), digest(t, again); a != b {
		t.Errorf("the same inputs gave %s, then %s", a, b)
	}
	result := c.run(t, engine.RunRequest{Main: engine.Container{Name: "main", Image: img}})
	if want := version + " " + p.Architecture + " default"; text(result.Lines) != want {
		t.Errorf("the image's command printed %q, want %q", text(result.Lines), want)
	}
}

func digest(t *testing.T, img v1.Image) v1.Hash {
	t.Helper()
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// natively builds for each platform with a stage for the one that builds, the
// first of them: no emulator may see what is done there.
func (c *contract) natively(t *testing.T) {
	for _, p := range c.Platforms {
		img, log, err := c.build(t, p, `ARG BASE_IMAGE
ARG BUILD_IMAGE=${BASE_IMAGE}
FROM --platform=$BUILDPLATFORM ${BUILD_IMAGE} AS native
ARG BUILDARCH
ARG TARGETARCH
RUN arch /made $BUILDARCH $TARGETARCH
FROM ${BASE_IMAGE}
COPY --from=native /made /made
CMD ["/bin/tiny", "cat", "/made"]
`, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		result := c.run(t, engine.RunRequest{Main: engine.Container{Name: "main", Image: img}})
		native := c.Platforms[0].Architecture
		if want := strings.Join([]string{native, native, p.Architecture}, " "); text(result.Lines) != want {
			t.Errorf("for %s it was made on, by and for %q, want %q", p, text(result.Lines), want)
		}
	}
}

func (c *contract) contextAndTarget(t *testing.T) {
	img, _, err := c.build(t, c.Platforms[0], `ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS wanted
COPY copied.txt /copied.txt
CMD ["/bin/tiny", "cat", "/copied.txt"]
FROM wanted
RUN exit 1
`, func(req *engine.BuildRequest) { req.Target = "wanted" })
	if err != nil {
		t.Fatal(err)
	}
	result := c.run(t, engine.RunRequest{Main: engine.Container{Name: "main", Image: img}})
	if got := text(result.Lines); got != "from the context" {
		t.Errorf("the copied file holds %q", got)
	}
}

func (c *contract) failingInstruction(t *testing.T) {
	_, log, err := c.build(t, c.Platforms[0], "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN print first\nRUN print about to fail; warn no such wheel; exit 7\n", nil)
	var be *engine.BuildError
	if !errors.As(err, &be) {
		t.Fatalf("err is %T (%v), want a *engine.BuildError\n%s", err, err, log)
	}
	if !strings.Contains(be.Step, "RUN print about to fail") {
		t.Errorf("Step is %q, want the instruction as written", be.Step)
	}
	if !slices.Contains(be.Output, "no such wheel") || slices.Contains(be.Output, "first") {
		t.Errorf("Output is %q, want the failing step's last lines and no other's", be.Output)
	}
	if be.Line != 4 && be.Line != 0 {
		t.Errorf("Line is %d, want 4", be.Line)
	}
	for _, want := range []string{"build " + c.Platforms[0].String(), "Dockerfile", "RUN print about to fail", "exit code: 7", "no such wheel"} {
		if !strings.Contains(be.Error(), want) {
			t.Errorf("the message lacks %q: %s", want, be)
		}
	}
	if strings.Contains(be.Error(), "\n") {
		t.Errorf("the message is not one line: %q", be.Error())
	}
}

func (c *contract) badDockerfile(t *testing.T) {
	_, log, err := c.build(t, c.Platforms[0], "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUNN true\n", nil)
	if err == nil || !strings.Contains(err.Error(), "RUNN") {
		t.Errorf("err is %v, want one that names RUNN\n%s", err, log)
	}
}

func (c *contract) cancelBuild(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(3*time.Second, cancel)
	began := time.Now()
	_, log, err := c.buildIn(ctx, t, c.Platforms[0], "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN print "+t.Name()+"; sleep 5m\n", nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("err is %v, want context.Canceled\n%s", err, log)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the build went on for %s after it was cancelled", took)
	}
}

// image is the tiny image for one platform.
func (c *contract) image(t *testing.T, p v1.Platform) v1.Image {
	t.Helper()
	img, err := engine.ImageFor(c.base, p)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// script is a container of the tiny image that runs a script.
func (c *contract) script(t *testing.T, name, script string) engine.Container {
	t.Helper()
	return engine.Container{Name: name, Image: c.image(t, c.Platforms[0]), Args: []string{"/bin/sh", "-c", script}}
}

// run runs a request that has to come to its end.
func (c *contract) run(t *testing.T, req engine.RunRequest) engine.RunResult {
	t.Helper()
	result, err := c.tryRun(t, req)
	if err != nil {
		t.Fatalf("%v\n%s", err, text(result.Lines))
	}
	return result
}

func (c *contract) tryRun(t *testing.T, req engine.RunRequest) (engine.RunResult, error) {
	t.Helper()
	if req.Timeout == 0 {
		req.Timeout = 2 * time.Minute
	}
	result, err := c.Engine.Run(t.Context(), req)
	c.clean(t)
	return result, err
}

func (c *contract) clean(t *testing.T) {
	t.Helper()
	if c.Leftovers == nil {
		return
	}
	if left := c.Leftovers(); len(left) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
}

func text(lines []engine.Line) string {
	var texts []string
	for _, l := range lines {
		texts = append(texts, l.Text)
	}
	return strings.Join(texts, "\n")
}

func (c *contract) runs(t *testing.T, p v1.Platform) {
	main := c.script(t, "main", "pid; warn oops; print $GREETING; exit 3")
	main.Image = c.image(t, p)
	main.Env = map[string]string{"GREETING": "good morning"}
	var mu sync.Mutex
	var heard []string
	began := time.Now()
	result := c.run(t, engine.RunRequest{Main: main, OnLine: func(container string, line engine.Line) {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, container+": "+line.Text)
	}})
	if result.ExitCode != 3 {
		t.Errorf("exit code is %d, want the command's, 3", result.ExitCode)
	}
	var streams [2][]string
	for _, l := range result.Lines {
		i := slices.Index([]string{"stdout", "stderr"}, l.Stream)
		if i < 0 {
			t.Fatalf("a line of stream %q", l.Stream)
		}
		streams[i] = append(streams[i], l.Text)
		if l.At <= 0 || l.At > time.Since(began) {
			t.Errorf("line %q came at %s", l.Text, l.At)
		}
	}
	if want := []string{"pid 1", "good morning"}; !slices.Equal(streams[0], want) {
		t.Errorf("stdout is %q, want %q: the entrypoint is PID 1", streams[0], want)
	}
	if want := []string{"oops"}; !slices.Equal(streams[1], want) {
		t.Errorf("stderr is %q, want %q", streams[1], want)
	}
	if !slices.Contains(heard, "main: good morning") || len(heard) != 3 {
		t.Errorf("OnLine heard %q, want each line once", heard)
	}
	if result.Started.Before(began) || !result.Ended.After(result.Started) {
		t.Errorf("ran from %s to %s", result.Started, result.Ended)
	}
}

func (c *contract) sides(t *testing.T) {
	database := c.script(t, "database", "serve :5432")
	database.Ready = []string{"/bin/tiny", "get", "127.0.0.1:5432"}
	cache := c.script(t, "cache", "sleep 300ms; serve :6379")
	cache.Ready = []string{"/bin/tiny", "get", "127.0.0.1:6379"}
	result := c.run(t, engine.RunRequest{
		Main:  c.script(t, "main", "get database:5432; get cache:6379"),
		Sides: []engine.Container{database, cache},
	})
	if got := text(result.Lines); strings.Count(got, "hello from") != 2 || result.ExitCode != 0 {
		t.Errorf("the main container ended with %d and wrote %q, want it to reach both by name", result.ExitCode, got)
	}
	for _, side := range []string{"database", "cache"} {
		if got := text(result.SideLines[side]); !strings.Contains(got, "listening on") {
			t.Errorf("SideLines[%q] is %q", side, got)
		}
	}
}

func (c *contract) sideThatEnds(t *testing.T) {
	database := c.script(t, "database", "warn disk full; exit 1")
	database.Ready = []string{"/bin/tiny", "get", "127.0.0.1:5432"}
	result, err := c.tryRun(t, engine.RunRequest{Main: c.script(t, "main", "print started"), Sides: []engine.Container{database}})
	c.blames(t, err, "database", "disk full")
	if len(result.Lines) > 0 {
		t.Errorf("the main container ran all the same: %q", text(result.Lines))
	}
}

func (c *contract) sideNeverReady(t *testing.T) {
	database := c.script(t, "database", "warn still recovering; hold")
	database.Ready = []string{"/bin/tiny", "exit", "1"}
	_, err := c.tryRun(t, engine.RunRequest{
		Main: c.script(t, "main", "print started"), Sides: []engine.Container{database}, Timeout: 6 * time.Second,
	})
	c.blames(t, err, "database", "still recovering")
}

// blames checks a message: one line with all these words.
func (c *contract) blames(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the message lacks %q: %v", w, err)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("the message is not one line: %q", err.Error())
	}
}

func (c *contract) timeout(t *testing.T) {
	main := c.script(t, "netbox", "print waiting for the database; sleep 10m")
	main.StopGrace = 100 * time.Millisecond
	result, err := c.tryRun(t, engine.RunRequest{Main: main, Timeout: 6 * time.Second})
	c.blames(t, err, "netbox", "6s", "waiting for the database")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err is %v, want one that is context.DeadlineExceeded", err)
	}
	if got := text(result.Lines); got != "waiting for the database" {
		t.Errorf("the result's lines are %q, want what was seen", got)
	}
}

// killed checks that a process which dies by a signal takes nobody with it.
func (c *contract) killed(t *testing.T) {
	result := c.run(t, engine.RunRequest{Main: c.script(t, "main", "spawn signal 9; sleep 300ms; print still here")})
	if result.ExitCode != 0 || text(result.Lines) != "still here" {
		t.Errorf("ended with %d after %q", result.ExitCode, text(result.Lines))
	}
}

func (c *contract) secrets(t *testing.T) {
	const password = "correct-horse-battery"
	main := c.script(t, "main", "print password is $PASSWORD; warn again $PASSWORD; print short $SHORT; write /copy $PASSWORD")
	main.Secrets = map[string]string{"PASSWORD": password, "SHORT": "abc"}
	main.Capture = []string{"/copy"}
	var mu sync.Mutex
	heard := ""
	result := c.run(t, engine.RunRequest{Main: main, OnLine: func(_ string, line engine.Line) {
		mu.Lock()
		defer mu.Unlock()
		heard += line.Text + "\n"
	}})
	all := text(result.Lines)
	if strings.Contains(all+heard, password) {
		t.Errorf("the secret is in the lines:\n%s\n%s", all, heard)
	}
	for _, want := range []string{"password is ***", "again ***", "short abc"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in the lines:\n%s", want, all)
		}
	}
	if string(result.Files["/copy"]) != password {
		t.Errorf("the container itself saw %q", result.Files["/copy"])
	}
}

func (c *contract) files(t *testing.T) {
	main := c.script(t, "main", "cat /opt/deep/config; stat /opt/deep/config; stat /volume; write /tmp/out from tmpfs; write /volume/out from volume; write /out from root")
	main.Files = []engine.File{{Path: "/opt/deep/config", Mode: 0o640, Content: []byte("injected\n"), UID: 911, GID: 100}}
	main.Mounts = []engine.Mount{{Path: "/tmp", Tmpfs: true}, {Path: "/volume"}}
	main.Capture = []string{"/tmp/out", "/volume/out", "/out", "/absent"}
	want := map[string]string{"/tmp/out": "from tmpfs", "/volume/out": "from volume", "/out": "from root"}
	if c.NoTmpfsCapture {
		_, err := c.tryRun(t, engine.RunRequest{Main: main})
		c.blames(t, err, "main", "/tmp/out", "temporary file system")
		main.Capture = main.Capture[1:]
		delete(want, "/tmp/out")
	}
	result := c.run(t, engine.RunRequest{Main: main})
	got := text(result.Lines)
	for _, want := range []string{"injected", "/opt/deep/config 640 911:100"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in the lines:\n%s", want, got)
		}
	}
	files := map[string]string{}
	for name, data := range result.Files {
		files[name] = string(data)
	}
	if fmt.Sprint(files) != fmt.Sprint(want) {
		t.Errorf("captured %q, want %q", files, want)
	}
}

func (c *contract) noSuchProgram(t *testing.T) {
	main := c.script(t, "main", "")
	main.Args = []string{"/no/such/program"}
	_, err := c.tryRun(t, engine.RunRequest{Main: main})
	c.blames(t, err, "main", "/no/such/program")
}

func (c *contract) cancelRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	side := c.script(t, "side", "serve :80")
	side.Ready = []string{"/bin/tiny", "get", "127.0.0.1:80"}
	began := time.Now()
	_, err := c.Engine.Run(ctx, engine.RunRequest{
		Main: c.script(t, "main", "spawn hold; print up; sleep 10m"), Sides: []engine.Container{side}, Timeout: 5 * time.Minute,
		OnLine: func(container string, _ engine.Line) {
			if container == "main" {
				began = time.Now()
				cancel()
			}
		},
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("err is %v, want context.Canceled", err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the run went on for %s after it was cancelled", took)
	}
	c.clean(t)
}
