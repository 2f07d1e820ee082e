package life

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
)

// planted maps variables to secrets that exist only in this test run. Each contains letters
// and digits that survive quoting, escaping and percent encoding.
type planted map[string]string

func newPlanted(names ...string) planted {
	p := planted{}
	for _, name := range names {
		p[name] = `o'"\|& ü$` + rand.Text()
	}
	return p
}

// held returns the names of the secrets that a text contains, plain or encoded.
func (p planted) held(text []byte) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(p)) {
		value := p[name]
		core := value[max(0, len(value)-26):]
		forms := []string{core, hex.EncodeToString([]byte(core))}
		for shift := range 3 {
			// The first and last group may contain bits of adjacent bytes.
			coded := base64.StdEncoding.EncodeToString([]byte("xyz"[:shift] + core))
			forms = append(forms, coded[4:len(coded)-4])
		}
		if slices.ContainsFunc(forms, func(form string) bool { return strings.Contains(string(text), form) }) {
			names = append(names, name)
		}
	}
	return names
}

// openly passes secrets to the services and NetBox as plain variables, so that the engine
// does not mask them in the logs.
func (w *world) openly(secrets planted) {
	hand := func(c engine.Container, name, as string) engine.Container {
		c.Env, c.Secrets = maps.Clone(c.Env), nil
		if c.Env == nil {
			c.Env = map[string]string{}
		}
		c.Env[as] = secrets[name]
		return c
	}
	w.sides.Postgres = hand(w.sides.Postgres, "DB_PASSWORD", "POSTGRES_PASSWORD")
	w.sides.Redis = hand(w.sides.Redis, "REDIS_PASSWORD", "REDIS_PASSWORD")
}

// sighting is a process as observed once.
type sighting struct {
	program string // path of the executable
	command string
	uid     int
}

// watch polls a container's processes until stop is called, which returns all processes
// that it saw.
func watch(c *local.Container) (stop func() map[sighting]bool) {
	ctx, cancel := context.WithCancel(context.Background())
	seen := map[sighting]bool{}
	var looking sync.WaitGroup
	looking.Go(func() {
		for ctx.Err() == nil {
			for _, p := range c.Processes() {
				// runc and copies of it are skipped: they are about to execute another
				// program. The user is read after the program, because a process changes
				// its user before it executes the next program. A process that has changed
				// its program meanwhile, or has no command line yet, is read again at the
				// next poll.
				was := program(p.PID)
				line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID))
				if err != nil {
					continue
				}
				command := strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
				uid, err := strconv.Atoi(strings.SplitN(status(p.PID, "Uid"), "\t", 2)[0])
				if was != "" && command != "" && was == program(p.PID) && !strings.HasSuffix(command, "/runc init") && err == nil {
					seen[sighting{was, command, uid}] = true
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	return func() map[sighting]bool {
		cancel()
		looking.Wait()
		return seen
	}
}

// program returns the executable of a process, empty after the process has ended.
func program(pid int) string {
	name, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return name
}

// supervisor matches the programs that may run as root during the container's whole life.
var supervisor = regexp.MustCompile(`^/init$|^(/usr)?/s?bin/s6-[\w-]+$|^/package/admin/`)

// duringInit matches further programs that may run as root during the start: the shell and
// the tools that prepare /config and /run, but nothing of NetBox.
var duringInit = regexp.MustCompile(`^(/usr)?/s?bin/(bash|dash|sh|busybox|cat|chmod|chown|cp|crontab|date|echo|env|execlineb|find|grep|id|ln|ls|mkdir|mv|printf|readlink|rm|sed|sleep|stat|touch|tr)$|^/docker-mods$|^/usr/lib/execline/`)

// steppingDown matches the script that switches to the user of PUID before it runs a
// command such as the health check.
var steppingDown = regexp.MustCompile(`^/bin/sh /usr/bin/as-abc |^id -u$`)

// TestSecretsAndPowersStayWhereTheyBelong inspects one container from its start to its end.
func TestSecretsAndPowersStayWhereTheyBelong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secrets := newPlanted("DB_PASSWORD", "REDIS_PASSWORD", "SUPERUSER_PASSWORD")
	w.openly(secrets)
	w.services()
	spec := w.spec("netbox", map[string]string{"S6_VERBOSITY": "5"})
	spec.Secrets = nil
	maps.Copy(spec.Env, secrets)
	started := time.Now()
	c := w.start(spec)
	stop := watch(c)
	w.up(c, "/login/")
	healthy(t, c)
	atStart := stop()
	for name, file := range map[string]string{"SECRET_KEY": "secret_key", "API_TOKEN_PEPPER": "token_pepper"} {
		key, err := os.ReadFile(filepath.Join(w.config, "keys", file))
		if err != nil {
			t.Fatal(err)
		}
		secrets[name] = string(key)
	}

	t.Run("nothing of NetBox runs as root, not even at the start", func(t *testing.T) {
		for s := range atStart {
			if s.uid == 0 && !supervisor.MatchString(s.program) && !duringInit.MatchString(s.program) {
				t.Errorf("as root: %s (%s)", s.program, s.command)
			}
			if s.uid != 0 && s.uid != 1000 {
				t.Errorf("as user %d: %s", s.uid, s.command)
			}
		}
	})
	t.Run("no process but the supervisor's runs as root", func(t *testing.T) {
		stop := watch(c)
		for range 3 {
			healthy(t, c)
		}
		in := *w
		in.t = t
		in.must(http.StatusCreated, http.MethodPost, "/api/users/tokens/provision/", "",
			map[string]any{"username": "admin", "password": secrets["SUPERUSER_PASSWORD"], "version": 2})
		seen := stop()
		if len(seen) < 5 {
			t.Fatalf("only %d processes were seen", len(seen))
		}
		for s := range seen {
			if s.uid == 0 && !supervisor.MatchString(s.program) && !steppingDown.MatchString(s.command) {
				t.Errorf("as root: %s (%s)", s.program, s.command)
			}
		}
	})
	t.Run("NetBox has no capability", func(t *testing.T) {
		checked := 0
		for _, p := range c.Processes() {
			if p.UID == 0 {
				continue
			}
			checked++
			for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
				if got := status(p.PID, set); strings.Trim(got, "0") != "" {
					t.Errorf("%s has %s %s", p.Command, set, got)
				}
			}
			if groups := status(p.PID, "Groups"); groups != "1000" {
				t.Errorf("%s is in the groups %q, want its own alone", p.Command, groups)
			}
		}
		if checked < 3 {
			t.Errorf("only %d processes are not root's", checked)
		}
	})
	t.Run("no command line shows a secret", func(t *testing.T) {
		for s := range atStart {
			if names := secrets.held([]byte(s.command)); names != nil {
				t.Errorf("%s is in the command line of %s", names, s.program)
			}
		}
	})
	t.Run("only who needs a secret has it in the environment", func(t *testing.T) {
		for _, p := range c.Processes() {
			environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID))
			if err != nil {
				continue // the process has ended
			}
			var may []string
			switch {
			case p.Inside == 1:
				continue // variables of `docker run` stay in the first process, readable only by root
			case strings.Contains(p.Command, "netbox"):
				may = []string{"DB_PASSWORD", "REDIS_PASSWORD"}
			}
			for _, name := range secrets.held(environ) {
				if !slices.Contains(may, name) {
					t.Errorf("%s is in the environment of %s", name, p.Command)
				}
			}
		}
	})
	t.Run("other users of the container see no secret", func(t *testing.T) {
		// Reads in one command all that another user can read of processes and files.
		out, errs, code, err := c.Exec(t.Context(), []string{"sh", "-c",
			`exec s6-applyuidgid -u 4711 -g 4711 -G '' env -i sh -c 'cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline; find /run /tmp /config /dev/shm /root /home /var -xdev -type f -exec cat {} +; id -u' 2>/dev/null`}, nil)
		if err != nil || !strings.HasSuffix(out, "4711\n") {
			t.Fatalf("reading as a stranger: status %d, %v: %s", code, err, errs)
		}
		if names := secrets.held([]byte(out)); names != nil {
			t.Errorf("a stranger can read %s", names)
		}
	})
	t.Run("files with secrets are closed", func(t *testing.T) {
		filesWithSecretsAreClosed(t, c, secrets, started)
	})
	t.Run("the application writes nowhere but where it has to", func(t *testing.T) {
		writesNowhereElse(t, c)
	})
	t.Run("error pages show nothing", func(t *testing.T) {
		in := *w
		in.t = t
		in.errorPagesTellNothing(secrets)
	})
	t.Run("check --deploy finds what TLS is for, and no more", func(t *testing.T) { deployCheck(t, c) })

	w.stop(c)
	t.Run("the log shows no secret", func(t *testing.T) {
		log := said(c)
		if !strings.Contains(log, "serving http") {
			t.Fatal("there is no log")
		}
		if names := secrets.held([]byte(log)); names != nil {
			t.Errorf("the log shows %s", names)
		}
	})
}

// status returns one field of a process's status file.
func status(pid int, key string) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // the process may have ended
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// keepers matches the files that must contain secrets.
var keepers = regexp.MustCompile(`^/run/s6/container_environment/\w+$|^/config/keys/\w+$`)

// filesWithSecretsAreClosed checks all files written since the start: older files cannot
// contain secrets that were generated then.
func filesWithSecretsAreClosed(t *testing.T, c *local.Container, secrets planted, since time.Time) {
	t.Helper()
	pid, err := c.PID()
	if err != nil {
		t.Fatal(err)
	}
	root := fmt.Sprintf("/proc/%d/root", pid)
	read, holding := 0, 0
	open := map[string]bool{".": true} // directories that another user can enter
	err = fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if d.IsDir() {
			if name == "proc" || name == "sys" {
				return fs.SkipDir
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			open[name] = open[filepath.Dir(name)] && info.Mode().Perm()&0o001 != 0
			return nil
		}
		info, err := d.Info()
		if err != nil || !d.Type().IsRegular() {
			return nil // it was deleted, or is not a regular file
		}
		changed := info.Sys().(*syscall.Stat_t).Ctim
		if time.Unix(changed.Unix()).Before(since.Add(-time.Second)) {
			return nil
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil
		}
		read++
		names := secrets.held(text)
		if names == nil {
			return nil
		}
		holding++
		if !keepers.MatchString("/" + name) {
			t.Errorf("/%s holds %s", name, names)
		}
		if open[filepath.Dir(name)] && info.Mode().Perm()&0o004 != 0 {
			t.Errorf("/%s holds %s, and anybody can read it: %s", name, names, info.Mode())
		}
		if strings.HasPrefix(name, "config/") && info.Mode().Perm() != 0o600 {
			t.Errorf("/%s has mode %s, want 0600", name, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if read < 20 || holding < 5 {
		t.Errorf("of %d files that were read %d hold secrets; the search finds nothing", read, holding)
	}
}

// writable matches the paths that the application may write to: its volume, its state, and
// temporary directories and devices.
var writable = regexp.MustCompile(`^/config(/|$)|^/run/netbox(/|$)|^/(tmp|var/tmp|dev/shm|dev/mqueue)(/|$)|^/dev/(null|zero|full|random|urandom|tty|ptmx|pts/\w+)$`)

func writesNowhereElse(t *testing.T, c *local.Container) {
	t.Helper()
	const walk = `
import os
count = 0
for folder, folders, files in os.walk('/'):
    if folder in ('/proc', '/sys'):
        folders.clear()
        continue
    for path in [folder, *(os.path.join(folder, file) for file in files)]:
        count += 1
        if not os.path.islink(path) and os.access(path, os.W_OK):
            print(path)
print(count)
`
	out, errs, code, err := c.Exec(t.Context(), []string{"s6-setuidgid", "abc", "/lsiopy/bin/python3", "-c", walk}, nil)
	if err != nil || code != 0 {
		t.Fatalf("walk as abc: status %d, %v: %s", code, err, errs)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if !slices.Contains(lines, "/config") || len(lines[len(lines)-1]) < 5 {
		t.Fatalf("the walk went astray: %.300s", out)
	}
	for _, path := range lines[:len(lines)-1] {
		if !writable.MatchString(path) {
			t.Errorf("the application can write to %s", path)
		}
	}
}

// errorPagesTellNothing requests pages that do not exist or are forbidden.
func (w *world) errorPagesTellNothing(secrets planted) {
	t := w.t
	t.Helper()
	for _, path := range []string{"/no/such/page", "/api/dcim/sites/", "/media/../../keys/secret_key", "/metrics",
		"/static/../../../config/keys/secret_key", "/static/%2e%2e/%2e%2e/%2e%2e/config/keys/secret_key"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			res, err := w.ask(method, path, "", nil)
			if err != nil {
				t.Errorf("%s %s: %v", method, path, err)
				continue
			}
			if res.status == http.StatusOK || res.status >= 500 {
				t.Errorf("%s %s: %d", method, path, res.status)
			}
			tellsNothing(t, method+" "+path, res, secrets)
		}
	}
	res, err := w.ask(http.MethodGet, "/login/", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	tellsNothing(t, "the log-in page", res, secrets)
	if res.header.Get("X-Content-Type-Options") != "nosniff" || res.header.Get("X-Frame-Options") == "" || res.header.Get("Referrer-Policy") == "" {
		t.Errorf("the log-in page lacks the headers that keep browsers in check: %q", res.header)
	}
	if cookie := res.header.Get("Set-Cookie"); !strings.Contains(cookie, "; HttpOnly") || !strings.Contains(cookie, "; SameSite=Lax") {
		t.Errorf("the cookie is %q", cookie)
	}
}

// tellsNothing checks that a response contains no secrets, internals or versions.
func tellsNothing(t *testing.T, what string, res response, secrets planted) {
	t.Helper()
	if names := secrets.held(res.body); names != nil {
		t.Errorf("%s shows %s", what, names)
	}
	for _, sign := range []string{"Traceback", "DEBUG = True", "django.conf", "INSTALLED_APPS", "site-packages"} {
		if strings.Contains(string(res.body), sign) {
			t.Errorf("%s: the page holds %q", what, sign)
		}
	}
	if server := res.header.Get("Server"); strings.ContainsAny(server, "0123456789") {
		t.Errorf("%s shows the version of the server: %s", what, server)
	}
}

// withTLS lists Django's warnings about settings for TLS, which is the proxy's task, and
// about SAMEORIGIN, which NetBox uses instead of DENY.
var withTLS = []string{"security.W004", "security.W008", "security.W012", "security.W016", "security.W019"}

func deployCheck(t *testing.T, c *local.Container) {
	t.Helper()
	out, errs, code, err := c.Exec(t.Context(), []string{"with-contenv", "s6-setuidgid", "abc", "netbox", "check", "--deploy", "--tag", "security"}, nil)
	if err != nil || code != 0 {
		t.Fatalf("netbox check: status %d, %v: %s%s", code, err, out, errs)
	}
	found := regexp.MustCompile(`security\.\w+`).FindAllString(out+errs, -1)
	slices.Sort(found)
	if !slices.Equal(found, withTLS) {
		t.Errorf("Django complains of %s, want %s: %s%s", found, withTLS, out, errs)
	}
}
