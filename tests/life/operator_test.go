package life

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
)

// write writes an operator's file under /config.
func (w *world) write(name, text string) {
	w.t.Helper()
	file := filepath.Join(w.config, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// in returns a copy of the world for a subtest.
func (w *world) in(t *testing.T) *world {
	sub := *w
	sub.t = t
	return &sub
}

// listens returns a command that succeeds once all ports accept connections.
func listens(ports ...int) []string {
	var script strings.Builder
	for _, port := range ports {
		fmt.Fprintf(&script, "(: </dev/tcp/127.0.0.1/%d) && ", port)
	}
	return []string{"bash", "-c", script.String() + "true"}
}

// ready starts services in parallel and waits until they are ready.
func (w *world) ready(all ...engine.Container) []*local.Container {
	w.t.Helper()
	var started []*local.Container
	for _, c := range all {
		started = append(started, w.start(c))
	}
	for _, c := range started {
		ctx, cancel := context.WithTimeout(w.t.Context(), patience)
		defer cancel()
		if err := c.WaitReady(ctx); err != nil {
			w.t.Fatal(err)
		}
	}
	return started
}

// ends starts NetBox with an environment that cannot work, and checks that it exits with a
// failure and one line that contains says.
func (w *world) ends(env map[string]string, says string) *local.Container {
	w.t.Helper()
	name := strings.Map(func(r rune) rune { // several may run at once
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(path.Base(w.t.Name())))
	c := w.start(w.spec("netbox-"+name, env))
	if code := w.ended(c); code == 0 {
		w.t.Error("it ended with status 0")
	}
	var lines []string
	for line := range strings.Lines(said(c)) {
		if strings.HasPrefix(line, "[netbox] ") && !strings.HasPrefix(line, "[netbox] waiting for ") {
			lines = append(lines, line)
		}
	}
	if len(lines) != 1 || !strings.Contains(lines[0], says) || strings.Contains(said(c), "Traceback") {
		w.t.Errorf("want one line with %q, got %q", says, lines)
	} else if last := lastWords(c); "[netbox] "+last+"\n" != lines[0] && "[netbox] "+last != lines[0] {
		w.t.Errorf("the log ends with %q, want the line once more: %q", last, lines[0])
	}
	return c
}

// lastWords returns the reason why the container ended: the last log line, without the
// lines that only S6_VERBOSITY=2 shows.
func lastWords(c *local.Container) string {
	last := ""
	for _, line := range c.Lines() {
		if !strings.HasPrefix(line.Text, "s6-rc: info: ") && !strings.HasPrefix(line.Text, "cont-finish: info: ") {
			last = line.Text
		}
	}
	return strings.TrimPrefix(last, "netbox: ended: ")
}

// works waits until a background worker completes a job. It repeats the request until a
// deadline, as a job may be lost with the Redis that accepted it.
func (w *world) works(token string) {
	w.t.Helper()
	source := fmt.Sprint("source-", time.Now().UnixNano())
	made := w.must(http.StatusCreated, http.MethodPost, "/api/core/data-sources/", token,
		map[string]any{"name": source, "type": "local", "source_url": "file:///config/scripts"})
	path := fmt.Sprintf("/api/core/data-sources/%v/", made["id"])
	last := ""
	for end := time.Now().Add(patience); time.Now().Before(end); {
		res, err := w.ask(http.MethodPost, path+"sync/", token, map[string]any{})
		last = fmt.Sprintf("ordering: %d, %v", res.status, err)
		for again := time.Now().Add(20 * time.Second); err == nil && res.status == http.StatusOK && time.Now().Before(again); time.Sleep(100 * time.Millisecond) {
			res, err := w.ask(http.MethodGet, path, token, nil)
			if last = fmt.Sprintf("doing: %d, %v: %.2000s", res.status, err, res.body); err == nil && strings.Contains(last, `"value":"completed"`) {
				return
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
	w.t.Fatalf("no worker did the job; the last word was %s", last)
}
