package life

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
)

// TestItWorksAsTheUserThatTheContainerIsStartedAs covers `docker run --user`, podman's
// --userns=keep-id and Kubernetes' runAsUser: the first process runs as that user, without
// capabilities.
func TestItWorksAsTheUserThatTheContainerIsStartedAs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, user string
		uid, gid   int
		change     func(*engine.Container)
	}{
		// As in Kubernetes' restricted profile.
		{"1000:1000 without rights", "1000:1000", 1000, 1000, func(c *engine.Container) {
			c.Capabilities, c.NoNewPrivileges = []string{}, true
		}},
		// As in OpenShift, plus a read-only root.
		{"an arbitrary user of group 0, a read-only root", "1000680000", 1000680000, 0, func(c *engine.Container) {
			c.ReadOnly = true
			c.Mounts = append(c.Mounts, engine.Mount{Path: "/run", Tmpfs: true}, engine.Mount{Path: "/tmp", Tmpfs: true})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.services()
			w.write("scripts/theirs.py", "# of another user\n")
			for _, name := range []string{".", "scripts"} {
				if err := os.Chown(filepath.Join(w.config, name), test.uid, test.gid); err != nil {
					t.Fatal(err)
				}
			}
			spec := w.spec("netbox", map[string]string{"PUID": "4242", "PGID": "4343", "UMASK": "027"})
			spec.User = test.user
			test.change(&spec)
			c := w.start(spec)
			w.up(c, "/login/")
			healthy(t, c)
			w.worksAs(c, test.uid, test.gid)
			w.stop(c)
			again, err := c.Restart(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			w.up(again, "/login/")
			w.stop(again)
			for _, sign := range []string{"fatal", "ermission denied", "not permitted", "Traceback"} {
				if strings.Contains(said(again), sign) {
					t.Errorf("the log of the restart has %q", sign)
				}
			}
		})
	}
}

// worksAs uploads a file and checks the users of processes and the owners of files.
func (w *world) worksAs(c *local.Container, uid, gid int) {
	t := w.t
	t.Helper()
	token := w.token()
	site := w.must(http.StatusCreated, http.MethodPost, "/api/dcim/sites/", token, map[string]any{"name": "Berlin", "slug": "berlin"})
	w.attach(token, site["id"], drawing(t))
	owners := map[string]int{"scripts/theirs.py": 0, "keys/secret_key": uid}
	uploads, err := filepath.Glob(filepath.Join(w.config, "media/image-attachments/*.png"))
	if err != nil || len(uploads) != 1 {
		t.Errorf("uploaded files: %q, %v; want one", uploads, err)
	}
	for _, path := range uploads {
		name, err := filepath.Rel(w.config, path)
		if err != nil {
			t.Fatal(err)
		}
		owners[name] = uid
	}
	for name, owner := range owners {
		info, err := os.Stat(filepath.Join(w.config, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if stat := info.Sys().(*syscall.Stat_t); int(stat.Uid) != owner || owner == uid && int(stat.Gid) != gid {
			t.Errorf("%s belongs to %d:%d, want %d", name, stat.Uid, stat.Gid, owner)
		}
	}
	processes := c.Processes()
	for _, p := range processes {
		if p.UID != uid {
			t.Errorf("as user %d: %s", p.UID, p.Command)
		}
	}
	if len(processes) < 8 || !slices.ContainsFunc(processes, func(p local.Process) bool { return p.Inside == 1 }) {
		t.Errorf("only %d processes were seen: %v", len(processes), processes)
	}
	out, errs, code, err := c.Exec(t.Context(), []string{"sh", "-c", "ps -e -o args= && netbox check"}, nil)
	if err != nil || code != 0 || !strings.Contains(out, "netbox_container.serve") || !strings.Contains(errs, "System check identified") {
		t.Errorf("ps and netbox check as that user: status %d, %v: %s%s", code, err, out, errs)
	}
}

// TestWhereItCannotWorkAsAUserOneLineSaysSo covers another user's volume, and a read-only
// root without a writable directory for the supervisor.
func TestWhereItCannotWorkAsAUserOneLineSaysSo(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*engine.Container)
		says   string
	}{
		{"a volume of root's", func(*engine.Container) {}, "give /config to user 1000, or start the container without a user and set PUID and PGID"},
		{"a read-only root", func(c *engine.Container) { c.ReadOnly = true }, "start the container without a user, set PUID and PGID"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			spec := w.spec("netbox", map[string]string{"S6_VERBOSITY": "1"})
			spec.User = "1000:1000"
			test.change(&spec)
			c := w.start(spec)
			if code := w.ended(c); code == 0 {
				t.Error("it ended with status 0")
			}
			var lines []string
			for line := range strings.Lines(said(c)) {
				if strings.Contains(line, "PUID and PGID") && !strings.HasPrefix(line, "[mod-init]") && !strings.HasPrefix(line, "netbox: ended: ") {
					lines = append(lines, line)
				}
			}
			if len(lines) != 1 || !strings.Contains(lines[0], test.says) || !strings.Contains(lastWords(c), test.says) || strings.Contains(said(c), "Traceback") {
				t.Errorf("want one line with %q, which is the last one too, got %q, and at the end %q", test.says, lines, lastWords(c))
			}
		})
	}
}
