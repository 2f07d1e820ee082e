package life

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
	"github.com/linuxserver/docker-netbox/tests/campaign"
)

// enough lists the capabilities that docs/operation.md documents as sufficient.
var enough = []string{"CAP_CHOWN", "CAP_SETGID", "CAP_SETUID", "CAP_KILL"}

// limit sets a limit in a container's cgroup, of version 1 or 2, and reports whether this
// machine has the controller.
func limit(t *testing.T, c *local.Container, controller, old, unified, value string) bool {
	t.Helper()
	pid, err := c.PID()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		for _, file := range []string{
			filepath.Join("/sys/fs/cgroup", f[1], f[2], old),
			filepath.Join("/sys/fs/cgroup", f[2], unified),
		} {
			if f[1] != controller && f[1] != "" {
				continue
			}
			err := os.WriteFile(file, []byte(value), 0)
			if err == nil {
				return true
			}
			if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
				t.Fatal(err)
			}
		}
	}
	return false
}

// restriction limits a container before its start (change) or while it runs (after).
type restriction struct {
	name   string
	change func(*engine.Container)
	after  func(*testing.T, *local.Container)
}

// TestItWorksWithFewRightsAndWithinLimits combines several restrictions: what works
// under all works under each. With -soak it also tests each one alone.
func TestItWorksWithFewRightsAndWithinLimits(t *testing.T) {
	t.Parallel()
	rights := []restriction{
		{name: "few capabilities", change: func(c *engine.Container) { c.Capabilities = enough }},
		{name: "a read-only root", change: func(c *engine.Container) {
			c.ReadOnly = true
			c.Mounts = append(c.Mounts, engine.Mount{Path: "/run", Tmpfs: true}, engine.Mount{Path: "/tmp", Tmpfs: true})
		}},
		{name: "no new privileges", change: func(c *engine.Container) { c.NoNewPrivileges = true }},
	}
	limits := []restriction{
		{name: "512 MiB of memory", after: func(t *testing.T, c *local.Container) {
			if !limit(t, c, "memory", "memory.limit_in_bytes", "memory.max", fmt.Sprint(512<<20)) {
				t.Skip("SKIPPED: this machine limits no memory")
			}
		}},
		{name: "50 processes and threads", after: func(t *testing.T, c *local.Container) {
			if !limit(t, c, "pids", "pids.max", "pids.max", "50") {
				t.Skip("SKIPPED: this machine limits no processes")
			}
		}},
	}
	cases := map[string][]restriction{"few rights": rights, "tight limits": limits}
	if *soak {
		for _, r := range slices.Concat(rights, limits) {
			cases[r.name] = []restriction{r}
		}
	}
	for name, restrictions := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.services()
			// Another user's directory without access for others, as a volume may be.
			if err := os.Chmod(w.config, 0o700); err != nil {
				t.Fatal(err)
			}
			spec := w.spec("netbox", nil)
			for _, r := range restrictions {
				if r.change != nil {
					r.change(&spec)
				}
			}
			c := w.start(spec)
			for _, r := range restrictions {
				if r.after != nil {
					r.after(t, c)
				}
			}
			w.up(c, "/login/")
			token := w.token()
			w.must(http.StatusOK, http.MethodGet, "/api/status/", token, nil)
			// Every web process builds the GraphQL schema at its first query.
			var queries sync.WaitGroup
			for range 8 {
				queries.Go(func() {
					res, err := w.ask(http.MethodPost, "/graphql/", token, map[string]string{"query": "{ user_list { username } }"})
					if err != nil || res.status != http.StatusOK || !strings.Contains(string(res.body), `"username":"admin"`) {
						t.Errorf("GraphQL: %d, %v: %.300s", res.status, err, res.body)
					}
				})
			}
			queries.Wait()
			healthy(t, c)
			w.stop(c)
			again, err := c.Restart(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			w.up(again, "/login/")
			w.stop(again)
			t.Logf("peak of the container's memory: %d MiB", c.PeakMemory()>>20)
		})
	}
}

// TestDockerStopNeverHasToKill stops containers at different moments of their start,
// with Docker's default timeout of ten seconds.
func TestDockerStopNeverHasToKill(t *testing.T) {
	t.Parallel()
	tries := 2
	if *soak {
		tries = 30
	}
	for i, moment := range campaign.Moments(t, tries, *soak) {
		after, alone := time.Duration(moment*float64(8*time.Second)), i%2 == 1
		t.Run(fmt.Sprintf("after %.2f s, without services: %t", after.Seconds(), alone), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if !alone {
				w.services()
			}
			spec := w.spec("netbox", nil)
			spec.StopGrace = 10 * time.Second
			c := w.start(spec)
			time.Sleep(after)
			began := time.Now()
			code, err := c.Stop(t.Context())
			took := time.Since(began)
			t.Logf("stopped after %.1f s with status %d", took.Seconds(), code)
			if err != nil || code == 128+9 { // killed after ten seconds
				t.Errorf("stop: status %d, %v, after %s", code, err, took)
			}
			if strings.Contains(said(c), "Traceback") {
				t.Error("it leaves with a traceback")
			}
		})
	}
}

func TestTimeZoneUmaskAndIDsAreAppliedOrRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.services()
	for _, test := range []struct{ variable, value, says string }{
		{"TZ", "Mars/Olympus", "TZ must be a time zone like Europe/Berlin"},
		{"PUID", "-1", "PUID is '-1'"},
		{"PUID", "admin", "PUID is 'admin'"},
		{"PGID", "4294967295", "PGID is '4294967295'"},
		{"PGID", "99999999999999999999", "PGID is '99999999999999999999'"},
		{"PUID", "1e3", "PUID is '1e3'"},
		{"UMASK", "rwx", "UMASK must be "},
		{"UMASK", "888", "UMASK must be "},
	} {
		t.Run(test.variable+"="+test.value, func(t *testing.T) {
			in := *w
			in.t = t
			c := in.netbox(map[string]string{test.variable: test.value})
			in.endsWithOneLine(c, test.says)
		})
	}
	t.Run("applied", func(t *testing.T) {
		in := *w
		in.t = t
		c := in.netbox(map[string]string{"TZ": "Asia/Kathmandu", "UMASK": "027", "PUID": "0007", "PGID": "4294967294"})
		in.up(c, "/login/")
		got := in.must(http.StatusCreated, http.MethodPost, "/api/dcim/sites/", in.token(), map[string]any{"name": "Kathmandu", "slug": "kathmandu"})
		if created, _ := got["created"].(string); !strings.HasSuffix(created, "+05:45") {
			t.Errorf("a site was created at %q, want a time of the zone", created)
		}
		if out, _, _, err := c.Exec(t.Context(), []string{"with-contenv", "date", "+%z"}, nil); err != nil || out != "+0545\n" {
			t.Errorf("the container's clock is at %q, %v", out, err)
		}
		checked := 0
		for _, p := range c.Processes() {
			if strings.Contains(p.Command, "netbox_container.serve") {
				checked++
				if mask, uid, gid := status(p.PID, "Umask"), status(p.PID, "Uid"), status(p.PID, "Gid"); mask != "0027" ||
					!strings.HasPrefix(uid, "7\t") || !strings.HasPrefix(gid, "4294967294\t") {
					t.Errorf("a process runs with umask %s as %s:%s", mask, uid, gid)
				}
			}
		}
		if checked < 2 {
			t.Errorf("%d processes were looked at", checked)
		}
		in.stop(c)
	})
	t.Run("root for who asks for it", func(t *testing.T) {
		in := *w
		in.t = t
		c := in.netbox(map[string]string{"PUID": "0", "PGID": "0"})
		in.up(c, "/login/")
		in.stop(c)
	})
}
