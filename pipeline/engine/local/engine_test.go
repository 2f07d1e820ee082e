package local_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/enginetest"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/tests/need"
)

var (
	native  = v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	foreign = v1.Platform{OS: "linux", Architecture: map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]}
)

// sharedCache returns the pipeline's cache: its tools take minutes to build.
func sharedCache(t *testing.T) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "docker-netbox", "engine")
}

// testCache returns a cache for these tests, which shares only the tools: other
// packages' tests may be building for minutes in the shared one.
func testCache(t *testing.T) string {
	t.Helper()
	return cacheAt(t, filepath.Join(filepath.Dir(sharedCache(t)), "engine-test"))
}

func cacheAt(t *testing.T, dir string) string {
	t.Helper()
	setUp(t, newUnclosed(t, sharedCache(t))) // builds the tools, once
	if err := os.MkdirAll(filepath.Join(dir, "local"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := os.Symlink(filepath.Join(sharedCache(t), "local", "tools"), filepath.Join(dir, "local", "tools"))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	return dir
}

// newEngine returns an engine that is set up for both architectures, and checks at
// the end of the test that it leaves nothing behind.
func newEngine(t *testing.T, cache string) *local.Engine {
	t.Helper()
	e := newUnclosed(t, cache)
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if left := leftovers(local.ID(e)); len(left) > 0 {
			t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
		}
	})
	setUp(t, e)
	return e
}

func newUnclosed(t *testing.T, cache string) *local.Engine {
	t.Helper()
	need.Root(t, "the local engine")
	e, err := local.New(options(cache, 20*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func setUp(t *testing.T, e *local.Engine) {
	t.Helper()
	if err := e.Setup(t.Context(), t.Output()); err != nil {
		t.Fatal(err)
	}
}

func options(cache string, wait time.Duration) local.Options {
	return local.Options{
		Cache:     cache,
		Tools:     filepath.Join("..", "..", "..", "tools"),
		Platforms: []v1.Platform{native, foreign},
		QEMUCPU:   map[string]string{"arm64": "cortex-a72"},
		LockWait:  wait,
		Environ:   os.Environ(),
	}
}

// leftovers lists what has an engine's ID in its name on this machine: processes by
// command line and cgroup, mounts in any namespace, cgroups.
func leftovers(id string) []string {
	var left []string
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range procs {
		for _, file := range []string{"cmdline", "cgroup", "mountinfo"} {
			if data, _ := os.ReadFile(filepath.Join(dir, file)); bytes.Contains(data, []byte(id)) {
				left = append(left, fmt.Sprintf("%s/%s: %.200q", dir, file, data))
			}
		}
	}
	for _, pattern := range []string{"/sys/fs/cgroup/docker-netbox/", "/sys/fs/cgroup/*/docker-netbox/"} {
		dirs, _ := filepath.Glob(pattern + id + "*")
		left = append(left, dirs...)
	}
	return left
}

func TestLocalEngineKeepsTheContract(t *testing.T) {
	e := newEngine(t, testCache(t))
	enginetest.Run(t, e, enginetest.Options{
		Platforms: []v1.Platform{native, foreign},
		Leftovers: func() []string { return leftovers(local.ID(e)) },
	})
}

func TestSetupOfAReadyMachineHasNothingToDo(t *testing.T) {
	e := newUnclosed(t, testCache(t)) // testCache has set up the machine
	var log bytes.Buffer
	began := time.Now()
	if err := e.Setup(t.Context(), &log); err != nil {
		t.Fatal(err)
	}
	t.Logf("took %s", time.Since(began)) // under a second on an idle machine
	if log.Len() > 0 {
		t.Errorf("said %q, want nothing to say", log.String())
	}
}

func build(ctx context.Context, t *testing.T, e *local.Engine, p v1.Platform, base engine.Base, dockerfile string, log *bytes.Buffer) (v1.Image, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		t.Fatal(err)
	}
	return e.Build(ctx, engine.BuildRequest{Platform: p, Context: dir, Dockerfile: "Dockerfile", Base: base, Log: log})
}

// A socket's path is limited to 107 characters, and a home may have a long path.
func TestTheCacheMayHaveALongPath(t *testing.T) {
	e := newEngine(t, cacheAt(t, filepath.Join(t.TempDir(), strings.Repeat("a-long-name/", 12))))
	var log bytes.Buffer
	base := engine.Base{Index: enginetest.Base(t, native)}
	img, err := build(t.Context(), t, e, native, base, "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN print built\n", &log)
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	if out := run(t, newPod(t, e), script(img, "main", "print booted")); out != "booted\n" {
		t.Errorf("the container wrote %q", out)
	}
}

// A base may be built for one platform or several, and one of them may change.
func TestWhatWasBuiltOnAnImageIsUsedAgainWhateverElseItsIndexHolds(t *testing.T) {
	e := newEngine(t, testCache(t))
	dockerfile := "ARG BASE_IMAGE\nFROM --platform=$BUILDPLATFORM ${BASE_IMAGE} AS native\nENV NEVER_BUILT_BEFORE=" + rand.Text() +
		"\nRUN cat /proc/sys/kernel/random/uuid\nFROM ${BASE_IMAGE}\nRUN cat /proc/sys/kernel/random/uuid\nCOPY --from=native /etc/group /copied\n"
	number := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	for i, platforms := range [][]v1.Platform{{native}, {native, foreign}, {foreign, native}} {
		var log bytes.Buffer
		if _, err := build(t.Context(), t, e, native, engine.Base{Index: enginetest.Base(t, platforms...)}, dockerfile, &log); err != nil {
			t.Fatalf("%v\n%s", err, log.String())
		}
		if ran := number.MatchString(log.String()); ran != (i == 0) {
			t.Errorf("on a base for %v: steps ran: %v\n%s", platforms, ran, log.String())
		}
	}
}

// BuildKit compresses all layers again when it rewrites their timestamps.
func TestAnImageThatIsBuiltAgainIsNotWrittenAgain(t *testing.T) {
	e := newEngine(t, testCache(t))
	dir, base := t.TempDir(), engine.Base{Index: enginetest.Base(t, native)}
	dockerfile := "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nCOPY file /file\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		t.Fatal(err)
	}
	run, digests := rand.Text(), map[string]string{}
	for _, step := range []struct {
		content string
		epoch   int64
		written bool
	}{{"one", 1, true}, {"one", 1, false}, {"one", 2, true}, {"two", 1, true}, {"one", 1, false}} {
		content := run + step.content
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		img, err := e.Build(t.Context(), engine.BuildRequest{Platform: native, Context: dir, Dockerfile: "Dockerfile", Base: base, Epoch: time.Unix(step.epoch, 0), Log: &log})
		if err != nil {
			t.Fatalf("%v\n%s", err, log.String())
		}
		if written := strings.Contains(log.String(), "writing the image\n"); written != step.written {
			t.Errorf("%s at %d: written: %v\n%s", step.content, step.epoch, written, log.String())
		}
		digest, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprint(step.content, step.epoch)
		if known := digests[name]; known != "" && known != digest.String() {
			t.Errorf("%s is %s, then %s", name, known, digest)
		}
		digests[name] = digest.String()
	}
	if digests["one1"] == digests["one2"] || digests["one1"] == digests["two1"] {
		t.Errorf("different images have one digest: %v", digests)
	}
}

// BuildKit does not remove the directory of a file that it mounts for a step.
func TestABuildLeavesNothingAmongTheTemporaryFiles(t *testing.T) {
	left := func() map[string]bool {
		found, err := filepath.Glob(filepath.Join(os.TempDir(), "buildkit-*"))
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for _, name := range found {
			names[name] = true
		}
		return names
	}
	before := left()
	e := newEngine(t, testCache(t))
	var log bytes.Buffer
	dockerfile := "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nENV NEVER_BUILT_BEFORE=" + rand.Text() +
		"\nRUN --mount=type=bind,source=Dockerfile,target=/mounted cat /mounted\n"
	if _, err := build(t.Context(), t, e, foreign, engine.Base{Index: enginetest.Base(t, foreign)}, dockerfile, &log); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for name := range left() {
		if !before[name] {
			t.Errorf("it left %s", name)
		}
	}
}

func TestBuildFromAPublishedBase(t *testing.T) {
	e := newEngine(t, testCache(t))
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/base:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, enginetest.Base(t, native)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	img, err := build(t.Context(), t, e, native, engine.Base{Reference: ref.String()}, "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN print pulled\n", &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if config, err := img.ConfigFile(); err != nil || config.Architecture != native.Architecture {
		t.Errorf("config %+v, %v", config, err)
	}
}

func TestRunStepsSeeWhatTheMachineConfigures(t *testing.T) {
	cache := testCache(t)
	bundle := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(bundle, []byte("a certificate"), 0o644); err != nil {
		t.Fatal(err)
	}
	opts := options(cache, time.Minute)
	opts.Environ = append(opts.Environ, "SSL_CERT_FILE="+bundle, "PIP_INDEX_URL=https://user:sesame@index.test/simple",
		"NO_PROXY=index.test", "PIP_FIND_LINKS=/somewhere")
	e, err := local.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	var log bytes.Buffer
	img, err := build(t.Context(), t, e, foreign, engine.Base{Index: enginetest.Base(t, foreign)}, `ARG BASE_IMAGE
FROM ${BASE_IMAGE}
ARG QEMU_CPU
ENV NEVER_BUILT_BEFORE=`+rand.Text()+`
RUN --mount=type=secret,id=ca-certificates,target=/ca --mount=type=secret,id=pip-conf,target=/etc/pip.conf \
    cat /ca; print; cat /etc/pip.conf; env; exit 0
`, &log)
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	wanted := []string{"a certificate", "index-url = https://user:sesame@index.test/simple", "NO_PROXY=index.test"}
	if foreign.Architecture == "arm64" {
		wanted = append(wanted, "QEMU_CPU=cortex-a72")
	}
	for _, want := range wanted {
		if !strings.Contains(log.String(), want) {
			t.Errorf("RUN did not see %q:\n%s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "/somewhere") {
		t.Error("RUN saw a path of this machine")
	}
	config, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	for _, trace := range []string{"a certificate", "sesame", "NO_PROXY"} {
		if bytes.Contains(config, []byte(trace)) {
			t.Errorf("%q is in the image's config", trace)
		}
	}
}

func TestASecondProcessWaitsForTheBuildCache(t *testing.T) {
	cache := testCache(t)
	base := engine.Base{Index: enginetest.Base(t, native)}
	first := newEngine(t, cache)
	started := &watch{word: "occupied", seen: make(chan struct{})}
	done := make(chan error, 1)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nENV NEVER_BUILT_BEFORE="+rand.Text()+"\nRUN print occupied; sleep 3s\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := first.Build(t.Context(), engine.BuildRequest{Platform: native, Context: dir, Dockerfile: "Dockerfile", Base: base, Log: started})
		done <- err
	}()
	select {
	case <-started.seen:
	case err := <-done:
		t.Fatalf("the first build ended too soon: %v\n%s", err, started.text.String())
	}

	hasty, err := local.New(options(cache, 100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer hasty.Close()
	const dockerfile = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN print second\n"
	var log bytes.Buffer
	_, err = build(t.Context(), t, hasty, native, base, dockerfile, &log)
	if failure.ExitCode(err) != failure.ExitUsage || !strings.Contains(err.Error(), "build cache") {
		t.Errorf("with no patience: %v, want a usage error that names the build cache", err)
	}
	log.Reset()
	patient := newEngine(t, cache)
	if _, err := build(t.Context(), t, patient, native, base, dockerfile, &log); err != nil {
		t.Errorf("with patience: %v\n%s", err, log.String())
	}
	if !strings.Contains(log.String(), "waiting for another process") {
		t.Errorf("it did not say that it waits:\n%s", log.String())
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// watch is a log that signals when a word is written to it.
type watch struct {
	word string
	seen chan struct{}
	done bool
	text strings.Builder
}

func (w *watch) Write(p []byte) (int, error) {
	w.text.Write(p)
	if !w.done && strings.Contains(w.text.String(), w.word+"\n") {
		w.done = true
		close(w.seen)
	}
	return len(p), nil
}

func TestACancelledBuildLeavesNoProcess(t *testing.T) {
	e := newEngine(t, testCache(t))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	marker := "497m" + fmt.Sprint(os.Getpid()) + "s"
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN print running; sleep "+marker+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	running := &watch{word: "running", seen: make(chan struct{})}
	go func() { <-running.seen; cancel() }()
	_, err := e.Build(ctx, engine.BuildRequest{Platform: native, Context: dir, Dockerfile: "Dockerfile", Base: engine.Base{Index: enginetest.Base(t, native)}, Log: running})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("err is %v", err)
	}
	eventually(t, time.Minute, func() error { return noProcess(marker) })
}

func noProcess(words string) error {
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range procs {
		if data, _ := os.ReadFile(file); bytes.Contains(data, []byte(words)) && !strings.Contains(file, fmt.Sprintf("/%d/", os.Getpid())) {
			return fmt.Errorf("%s: %q", file, data)
		}
	}
	return nil
}

func eventually(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s still: %v", limit, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
