package enginetest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

// image returns the tiny image for one platform.
func (c *contract) image(t *testing.T, p v1.Platform) v1.Image {
	t.Helper()
	img, err := engine.ImageFor(c.base, p)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// script returns a container of the tiny image that runs a script and is ready once
// the command succeeds.
func (c *contract) script(t *testing.T, name, script string, ready ...string) engine.Container {
	t.Helper()
	return engine.Container{Name: name, Image: c.image(t, c.Platforms[0]), Args: []string{"/bin/sh", "-c", script}, Ready: ready}
}

// run runs a request, which must succeed. Each line of the main container must be
// passed to OnLine once, as it is in the result.
func (c *contract) run(t *testing.T, req engine.RunRequest) engine.RunResult {
	t.Helper()
	var mu sync.Mutex
	var received []engine.Line
	req.OnLine = func(container string, line engine.Line) {
		mu.Lock()
		defer mu.Unlock()
		if container == req.Main.Name {
			received = append(received, line)
		}
	}
	result, err := c.tryRun(t, req)
	if err != nil {
		t.Fatalf("%v\n%s", err, text(result.Lines))
	}
	if !slices.Equal(received, result.Lines) {
		t.Errorf("OnLine heard %v, want each line once: %v", received, result.Lines)
	}
	return result
}

// prints checks what the command of an image prints.
func (c *contract) prints(t *testing.T, img v1.Image, want string) {
	t.Helper()
	result := c.run(t, engine.RunRequest{Main: engine.Container{Name: "main", Image: img}})
	if got := text(result.Lines); got != want {
		t.Errorf("the image's command printed %q, want %q", got, want)
	}
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
	began := time.Now()
	result := c.run(t, engine.RunRequest{Main: main})
	if result.ExitCode != 3 {
		t.Errorf("exit code is %d, want the command's, 3", result.ExitCode)
	}
	streams := map[string][]string{}
	for _, l := range result.Lines {
		streams[l.Stream] = append(streams[l.Stream], l.Text)
		if l.At <= 0 || l.At > time.Since(began) {
			t.Errorf("line %q came at %s", l.Text, l.At)
		}
	}
	if want := map[string][]string{"stdout": {"pid 1", "good morning"}, "stderr": {"oops"}}; !maps.EqualFunc(streams, want, slices.Equal) {
		t.Errorf("it wrote %q, want %q: the entrypoint is PID 1", streams, want)
	}
	if result.Started.Before(began) || !result.Ended.After(result.Started) {
		t.Errorf("ran from %s to %s", result.Started, result.Ended)
	}
}

func (c *contract) sides(t *testing.T) {
	result := c.run(t, engine.RunRequest{
		Main: c.script(t, "main", "get database:5432; get cache:6379"),
		Sides: []engine.Container{
			c.script(t, "database", "serve :5432", "/bin/tiny", "get", "127.0.0.1:5432"),
			c.script(t, "cache", "sleep 300ms; serve :6379", "/bin/tiny", "get", "127.0.0.1:6379"),
		},
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

func (c *contract) sideExits(t *testing.T) {
	database := c.script(t, "database", "warn disk full; exit 1", "/bin/tiny", "get", "127.0.0.1:5432")
	result, err := c.tryRun(t, engine.RunRequest{Main: c.script(t, "main", "print started"), Sides: []engine.Container{database}})
	c.checkError(t, err, "database", "disk full")
	if len(result.Lines) > 0 {
		t.Errorf("the main container ran all the same: %q", text(result.Lines))
	}
}

func (c *contract) sideNeverReady(t *testing.T) {
	database := c.script(t, "database", "warn still recovering; hold", "/bin/tiny", "exit", "1")
	_, err := c.tryRun(t, engine.RunRequest{
		Main: c.script(t, "main", "print started"), Sides: []engine.Container{database}, Timeout: 6 * time.Second,
	})
	c.checkError(t, err, "database", "still recovering")
}

// checkError checks that an error message is one line with all these words.
func (c *contract) checkError(t *testing.T, err error, words ...string) {
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
	c.checkError(t, err, "netbox", "6s", "waiting for the database")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err is %v, want one that is context.DeadlineExceeded", err)
	}
	if got := text(result.Lines); got != "waiting for the database" {
		t.Errorf("the result's lines are %q, want what was seen", got)
	}
}

// killed checks that a process killed by a signal does not end the container.
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
	result := c.run(t, engine.RunRequest{Main: main})
	all := text(result.Lines)
	if strings.Contains(all, password) {
		t.Errorf("the secret is in the lines:\n%s", all)
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
		c.checkError(t, err, "main", "/tmp/out", "temporary file system")
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
	if !maps.EqualFunc(result.Files, want, func(got []byte, want string) bool { return string(got) == want }) {
		t.Errorf("captured %q, want %q", result.Files, want)
	}
}

func (c *contract) noSuchProgram(t *testing.T) {
	main := c.script(t, "main", "")
	main.Args = []string{"/no/such/program"}
	_, err := c.tryRun(t, engine.RunRequest{Main: main})
	c.checkError(t, err, "main", "/no/such/program")
}

func (c *contract) cancelRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	side := c.script(t, "side", "serve :80", "/bin/tiny", "get", "127.0.0.1:80")
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
