package life

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestARestartKeepsEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.services()
	first := w.netbox(nil)
	t.Logf("first start: 200 after %.1f s", w.up(first, "/login/").Seconds())
	token := w.token()
	w.must(http.StatusCreated, http.MethodPost, "/api/dcim/sites/", token, map[string]any{"name": "Berlin", "slug": "berlin"})
	keys := fingerprints(t, w.config)
	w.stop(first)

	second, err := first.Restart(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("restart: 200 after %.1f s", w.up(second, "/login/").Seconds())
	if got := w.must(http.StatusOK, http.MethodGet, "/api/dcim/sites/?slug=berlin", token, nil); got["count"] != 1.0 {
		t.Errorf("after the restart there are %v sites of that name, want 1", got["count"])
	}
	w.stop(second)

	// A new container on the old directory is an update. SUPERUSER_PASSWORD is used
	// only when the account is created.
	third := w.netbox(map[string]string{"SUPERUSER_PASSWORD": "another " + password})
	t.Logf("new container: 200 after %.1f s", w.up(third, "/login/").Seconds())
	w.must(http.StatusOK, http.MethodGet, "/api/status/", token, nil)
	if again := fingerprints(t, w.config); again != keys {
		t.Errorf("the keys changed from %s to %s", keys, again)
	}
	w.token() // uses the first password
	res, err := w.ask(http.MethodPost, "/api/users/tokens/provision/", "", map[string]any{"username": "admin", "password": "another " + password})
	if err != nil || res.status != http.StatusForbidden {
		t.Errorf("the new password of the variable: status %d, %v; want %d: %.200s", res.status, err, http.StatusForbidden, res.body)
	}
	w.stop(third)
}

// fingerprints returns the modes and content of the generated secrets.
func fingerprints(t *testing.T, config string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(config, "keys", "*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("keys under /config: %v, %v; want at least two", files, err)
	}
	var all strings.Builder
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %s, want 0600", filepath.Base(file), info.Mode())
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s %x\n", filepath.Base(file), text)
	}
	return all.String()
}

// TestTwoContainersPrepareOneEmptyDatabaseOnce starts the services late, so that both
// waiting containers begin at the same moment.
func TestTwoContainersPrepareOneEmptyDatabaseOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	web := w.start(w.spec("web", map[string]string{"NETBOX_ROLE": "web"}))
	worker := w.start(w.spec("worker", map[string]string{"NETBOX_ROLE": "worker"}))
	w.waits(web, "waiting for PostgreSQL")
	w.waits(worker, "waiting for PostgreSQL")
	w.services()
	w.up(web, "/login/")
	token := w.token()
	deadline := time.Now().Add(patience)
	for {
		if got := w.must(http.StatusOK, http.MethodGet, "/api/status/", token, nil); got["rq-workers-running"] == 1.0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the worker of the other container never shows")
		}
		time.Sleep(200 * time.Millisecond)
	}
	if n := strings.Count(said(web)+"\n"+said(worker), "filling the empty database"); n != 1 {
		t.Errorf("the database was filled %d times, want once", n)
	}
	w.stop(web)
	w.stop(worker)
}

func TestAKilledProcessIsStartedAgainAndTheLogSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.services()
	c := w.netbox(nil)
	w.up(c, "/login/")
	for _, name := range []string{"netbox-worker", "netbox-web"} {
		killed := false
		deadline := time.Now().Add(patience)
		for !killed && time.Now().Before(deadline) {
			for _, p := range c.Processes() {
				if comm(p.PID) == name {
					killed = unix.Kill(p.PID, unix.SIGKILL) == nil
					break
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
		if !killed {
			t.Fatalf("there is no process %s to kill", name)
		}
		want := strings.TrimPrefix(name, "netbox-") + " was killed by SIGKILL: starting it again"
		for !strings.Contains(said(c), want) {
			if time.Now().After(deadline) {
				t.Fatalf("the log does not say %q", want)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	w.up(c, "/login/")
	w.stop(c)
}

// comm returns the kernel's name for a process.
func comm(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)) // the process may have ended
	return strings.TrimSpace(string(text))
}
