package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/smoke"
)

const (
	password = `p"a<s>s & word`
	token    = "nbt_key.secret"
)

// from returns a getenv function.
func from(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

// runProbe runs the probe as /init would, against the NetBox at address, and returns
// its exit code and output lines.
func runProbe(t *testing.T, address string, slowness float64, change func(*probe)) (int, []string) {
	t.Helper()
	env := smoke.Env("/probe", "")
	env["SUPERUSER_PASSWORD"], env["SUPERUSER_API_TOKEN"] = password, token
	// The command starts with `with-contenv PROBE`.
	p, err := newProbe(smoke.Command("/probe", "4.7.3", "127.0.0.1:1", slowness)[2:], from(env))
	if err != nil {
		t.Fatal(err)
	}
	p.web = newClient(address, "netbox.test", p.slowness.scale(requestLimit))
	change(p)
	var out bytes.Buffer
	code := p.run(t.Context(), &out, io.Discard)
	return code, strings.Split(strings.TrimSpace(out.String()), "\n")
}

func TestEachCheckIsAskedByExactlyOneFunction(t *testing.T) {
	how := (&probe{}).checks()
	for _, c := range smoke.Checks() {
		if how[c.ID] == nil {
			t.Errorf("nothing asks %s", c.ID)
		}
		delete(how, c.ID)
	}
	for id := range how {
		t.Errorf("%s is asked but not expected", id)
	}
}

func TestANetBoxThatNeverListensIsOneCause(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	keys := t.TempDir()
	if err := os.WriteFile(filepath.Join(keys, "key"), nil, 0o600); err != nil {
		t.Fatal(err)
	}

	code, lines := runProbe(t, address, 0.005, func(p *probe) { p.uid, p.secrets = os.Getuid(), keys+"/*" })
	if code != 1 {
		t.Errorf("ended with %d", code)
	}
	rep := smoke.Parse(lines)
	if !rep.StopTime.IsZero() {
		t.Error("stopped the container after a failure")
	}
	err = rep.Err()
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "asked GET /login/, got dial tcp "+address+": connect: connection refused after 0s of asking; look at") {
		t.Errorf("got %v", err)
	}
}

func TestANetBoxThatFailsIsToldWithoutSecrets(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/login/" {
			fmt.Fprint(w, `<form><input type="hidden" name="csrfmiddlewaretoken" value="abc"></form>`)
			return
		}
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, "echo: %s %s %s", r.FormValue("password"), password, r.Header.Get("Authorization"))
	}))
	defer s.Close()
	code, lines := runProbe(t, s.Listener.Addr().String(), 0.1, func(*probe) {})
	if code != 1 {
		t.Errorf("ended with %d", code)
	}
	for _, line := range lines {
		if strings.Contains(line, password) || strings.Contains(line, `p\"a`) || strings.Contains(line, token) {
			t.Errorf("a secret is in %s", line)
		}
	}
	err := smoke.Parse(lines).Err()
	if err == nil || !strings.Contains(err.Error(), "login: FAILED: asked POST /login/, got 500: echo: ***") {
		t.Errorf("got %v", err)
	}
}

func TestANetBoxThatHangsIsToldAsSuch(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer s.Close()
	defer close(release)
	c := newClient(s.Listener.Addr().String(), "netbox.test", 200*time.Millisecond)
	if got := c.do(t.Context(), get("/login/")).summary(); got != "no answer within 200ms" {
		t.Errorf("got %q", got)
	}
}

func TestWrongUseEndsWithTwo(t *testing.T) {
	good := map[string]string{"SUPERUSER_PASSWORD": "x", "SUPERUSER_API_TOKEN": "y", "PUID": "1000"}
	for _, tt := range []struct {
		args []string
		env  map[string]string
		want string
	}{
		{nil, good, "-version"},
		{[]string{"-version", "4.7.3"}, nil, "SUPERUSER_PASSWORD"},
		{[]string{"-version", "4.7.3"}, map[string]string{"SUPERUSER_PASSWORD": "x", "PUID": "1000"}, "SUPERUSER_API_TOKEN"},
		{[]string{"-version", "4.7.3"}, map[string]string{"SUPERUSER_PASSWORD": "x", "SUPERUSER_API_TOKEN": "y", "PUID": "abc"}, `"abc"`},
		{[]string{"-version", "4.7.3", "-slowness", "0"}, good, "-slowness"},
		{[]string{"-weather"}, good, "-weather"},
	} {
		var errs strings.Builder
		if code := run(t.Context(), tt.args, from(tt.env), io.Discard, &errs); code != 2 || !strings.Contains(errs.String(), tt.want) {
			t.Errorf("%q ended with %d: %s", tt.args, code, errs.String())
		}
	}
}

// The bodies are those of a real NetBox 4.7.3.
func TestAnErrorPageIsToldInItsOwnWords(t *testing.T) {
	for _, tt := range []struct{ media, body, want string }{
		{"text/html", "<title>Server Error</title>\n<pre class=\"block\"><strong>&lt;class &#x27;django.db.utils.ProgrammingError&#x27;&gt;</strong><br />\nrelation &quot;users_user&quot; does not exist\nLINE 1: SELECT\n", `<class 'django.db.utils.ProgrammingError'>: relation "users_user" does not exist`},
		{"application/json", `{"error": "relation \"dcim_site\" does not exist\nLINE 1: SELECT 1", "exception": "ProgrammingError", "netbox_version": "4.7.3"}`, `ProgrammingError: relation "dcim_site" does not exist`},
		{"application/json", `{"detail":"Invalid username/password"}`, `{"detail":"Invalid username/password"}`},
		{"text/html", "<!DOCTYPE html>\n<html><head>\n<title>Page Not Found | NetBox</title>", "Page Not Found | NetBox"},
		{"text/html", "\n<h1>Bad Request (400)</h1>\nmore", "<h1>Bad Request (400)</h1>"},
		{"text/html", `<div class="alert alert-danger" role="alert"><h4>Errors</h4>no</div>`, "Errors no"},
	} {
		if got := explain(tt.media, []byte(tt.body)); got != tt.want {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
}

// procDir writes a /proc directory for processes: "id parent uid name command...".
func procDir(t *testing.T, processes ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, line := range processes {
		f := strings.Fields(line)
		dir := filepath.Join(root, f[0])
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		status := fmt.Sprintf("Name:\t%s\nPPid:\t%s\nUid:\t%[3]s\t%[3]s\t%[3]s\t%[3]s\n", f[3], f[1], f[2])
		for name, text := range map[string]string{"status": status, "cmdline": strings.Join(f[4:], "\x00") + "\x00"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root
}

func TestOnlySupervisorsAndTheProbeMayBeRoot(t *testing.T) {
	good := []string{
		"1 0 0 init /init with-contenv /probe",
		"10 1 0 s6-svscan s6-svscan -d4 -- /run/service",
		"20 10 0 s6-supervise s6-supervise svc-netbox",
		"21 20 1000 python /lsiopy/bin/python -m web",
		// Under emulation the kernel prepends qemu.
		"30 10 0 s6-supervise /usr/libexec/qemu-binfmt/aarch64-binfmt-P /usr/bin/s6-supervise s6-supervise svc-cron",
		"31 30 0 cron /usr/libexec/qemu-binfmt/aarch64-binfmt-P /usr/sbin/cron cron -f",
		"40 1 0 rc.init sh -e /run/s6/basedir/scripts/rc.init top /probe",
		"41 40 0 probe /probe",
		"42 41 0 python /lsiopy/bin/python -c ...",
		"24 1 0 probe /usr/libexec/qemu-binfmt/aarch64-binfmt-P /probe /probe -watching",
		"50 0 0 sh sh /healthcheck",
		"51 50 0 curl curl http://localhost",
	}
	for _, tt := range []struct {
		name string
		more []string
		want string // the finding; empty for a pass
	}{
		{"all as it should be", nil, ""},
		{"the web server is root", []string{"21 20 0 python python -m web", "22 20 1000 python python"}, "root for 21 (python)"},
		{"a child of a service is root", []string{"23 21 0 sh sh -c evil"}, "root for 23 (sh)"},
		{"root left over by init", []string{"60 1 0 sleep sleep 99"}, "root for 60 (sleep)"},
		{"nothing runs as PUID", []string{"21 20 911 python python -m web"}, "none of user 1000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &probe{proc: procDir(t, append(good, tt.more...)...), self: 41, uid: 1000}
			r := p.check(t.Context(), p.processes)
			if r.OK != (tt.want == "") || !strings.Contains(r.Got, tt.want) {
				t.Errorf("got %+v, want %q", r, tt.want)
			}
		})
	}
}

func TestTheKernelIsUnderstood(t *testing.T) {
	all, err := readProcesses("/proc")
	if err != nil {
		t.Fatal(err)
	}
	me, ok := all[os.Getpid()]
	if !ok || me.parent != os.Getppid() || me.uids[1] != strconv.Itoa(os.Geteuid()) || me.command[0] != os.Args[0] {
		t.Errorf("this process is described as %+v", me)
	}
}

func TestASecretThatOthersMayReadIsFound(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "secret_key")
	p := &probe{secrets: dir + "/*", uid: os.Getuid()}
	if r := p.check(t.Context(), p.secretFiles); r.OK {
		t.Error("no secret at all passed")
	}
	if err := os.WriteFile(key, []byte("k"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := p.check(t.Context(), p.secretFiles); !r.OK {
		t.Errorf("got %+v", r)
	}
	if err := os.Chmod(key, 0o640); err != nil {
		t.Fatal(err)
	}
	if r := p.check(t.Context(), p.secretFiles); r.OK || !strings.Contains(r.Got, key+" is -rw-r-----") {
		t.Errorf("got %+v", r)
	}
	p.uid++
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := p.check(t.Context(), p.secretFiles); r.OK {
		t.Error("a secret of somebody else passed")
	}
}

func TestImportsTellWhichOneIsMissing(t *testing.T) {
	dir := t.TempDir()
	python := filepath.Join(dir, "python")
	for _, tt := range []struct {
		script, want string
		ok           bool
	}{
		{"echo c", "in C", true},
		{"echo python", `is "python" instead of "c"`, false},
		{"echo Traceback >&2; echo \"ModuleNotFoundError: No module named 'ldap'\" >&2; exit 1", "No module named 'ldap'", false},
	} {
		if err := os.WriteFile(python, []byte("#!/bin/sh\n"+tt.script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		p := &probe{python: python}
		r := p.check(t.Context(), p.imports)
		if r.OK != tt.ok || !strings.Contains(r.Got, tt.want) {
			t.Errorf("%s: got %+v", tt.script, r)
		}
	}
}

func TestAServiceThatDiedIsFound(t *testing.T) {
	dir := t.TempDir()
	p := &probe{services: dir}
	if r := p.check(t.Context(), p.steady); r.OK {
		t.Error("no service at all passed")
	}
	tally := filepath.Join(dir, "svc-netbox", "supervise", "death_tally")
	if err := os.MkdirAll(filepath.Dir(tally), 0o755); err != nil {
		t.Fatal(err)
	}
	exit1 := "twelve bytes\x01\x00"
	killed := "twelve bytes\x00\x09"
	for _, test := range []struct {
		tally, want string
		ok          bool
	}{
		{"", "none of 1 services", true},
		{exit1, "svc-netbox ended and was started again, 1 times, the last time it ended with status 1", false},
		{exit1 + killed, "svc-netbox ended and was started again, 2 times, the last time it was killed by signal 9", false},
		{"torn", "4 bytes", false},
	} {
		if err := os.WriteFile(tally, []byte(test.tally), 0o644); err != nil {
			t.Fatal(err)
		}
		if r := p.check(t.Context(), p.steady); r.OK != test.ok || !strings.Contains(r.Got, test.want) {
			t.Errorf("tally %q: got %+v, want %q", test.tally, r, test.want)
		}
	}
}
