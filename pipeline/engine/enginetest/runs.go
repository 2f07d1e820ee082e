package enginetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

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
