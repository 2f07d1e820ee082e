package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/tests/testrepo"
)

const services = "root/etc/s6-overlay/s6-rc.d/"

// TestBrokenImagesTurnCheckRed breaks the image in ways seen in practice and
// expects check to fail with a clear error.
func TestBrokenImagesTurnCheckRed(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(t *testing.T, dir string)
		args   []string
		env    func(t *testing.T) []string
		stage  string   // the first stage that fails
		says   []string // substrings of standard error
		log    string   // a log of the report that must contain the last of them
	}{
		{
			name: "a dependency file removed",
			change: func(t *testing.T, dir string) {
				testrepo.Sh(t, dir, `rm `+services+`svc-netbox/dependencies.d/svc-netbox-prepare`)
			},
			stage: "graph",
			says:  []string{"svc-netbox-prepare -> svc-netbox", "readme-vars.yml:"},
		},
		{
			name: "a service added undeclared",
			change: func(t *testing.T, dir string) {
				write(t, dir, services+"svc-extra/type", "longrun\n", 0o644)
				write(t, dir, services+"svc-extra/run", "#!/bin/sh\nexec sleep infinity\n", 0o755)
				write(t, dir, services+"svc-extra/dependencies.d/init-services", "", 0o644)
				write(t, dir, services+"user/contents.d/svc-extra", "", 0o644)
			},
			stage: "graph",
			says:  []string{"init-services -> svc-extra", "svc-extra -> legacy-services"},
		},
		{
			name: "a cycle",
			change: func(t *testing.T, dir string) {
				write(t, dir, services+"svc-netbox-prepare/dependencies.d/svc-netbox", "", 0o644)
			},
			stage: "graph",
			says:  []string{"cycl", "svc-netbox-prepare"},
		},
		{
			name: "a service that exits 1",
			change: func(t *testing.T, dir string) {
				write(t, dir, services+"svc-netbox-prepare/run", "#!/usr/bin/with-contenv bash\necho the lead is missing\nexit 1\n", 0o755)
			},
			stage: "boot",
			says:  []string{"svc-netbox-prepare", "the lead is missing"},
		},
		{
			name: "a service that dies again and again",
			change: func(t *testing.T, dir string) {
				replace(t, dir, "root/opt/netbox/lib/netbox_container/serve.py", "def main() -> None:\n", "def main() -> None:\n    raise OSError(98, 'Address already in use')\n")
			},
			stage: "boot",
			says:  []string{"svc-netbox ended 3 times, the last time it ended with status 1; its last line: OSError: [Errno 98] Address already in use"},
		},
		{
			name: "a service that dies", // s6 restarts it without a log line
			change: func(t *testing.T, dir string) {
				write(t, dir, services+"svc-cron/run", "#!/bin/sh\necho \"cron $$: there is no spool\" >&2\nexit 3\n", 0o755)
			},
			stage: "boot",
			says:  []string{"svc-cron ended 3 times, the last time it ended with status 3; its last line: cron ", ": there is no spool"},
		},
		{
			name: "a worker that never starts",
			change: func(t *testing.T, dir string) {
				replace(t, dir, "root/opt/netbox/lib/netbox_container/worker.py", "def work() -> None:\n", "def work() -> None:\n    raise SystemExit(3)\n")
			},
			stage: "smoke",
			says:  []string{"worker"},
		},
		{
			name: "NetBox answering 500",
			change: func(t *testing.T, dir string) {
				replace(t, dir, "root/opt/netbox/lib/netbox_container/serve.py", "    from netbox.wsgi import application\n",
					"    from netbox.wsgi import application as netbox\n\n"+
						"    def application(environ, start_response):\n"+
						"        if environ['PATH_INFO'].startswith('/api/dcim/'):\n"+
						"            start_response('500 Internal Server Error', [('Content-Length', '0')])\n"+
						"            return [b'']\n"+
						"        return netbox(environ, start_response)\n")
			},
			stage: "smoke",
			says:  []string{"500"},
		},
		{
			name: "a page that is blank",
			change: func(t *testing.T, dir string) {
				replace(t, dir, "root/opt/netbox/lib/netbox_container/serve.py", "    from netbox.wsgi import application\n",
					"    from netbox.wsgi import application as netbox\n\n"+
						"    def application(environ, start_response):\n"+
						"        if environ['PATH_INFO'].startswith('/dcim/sites/'):\n"+
						"            start_response('200 OK', [('Content-Type', 'text/html')])\n"+
						"            return [b'<!doctype html><title>Site</title>']\n"+
						"        return netbox(environ, start_response)\n")
			},
			stage: "smoke",
			says:  []string{"see-site: FAILED: asked the page of the new site /dcim/sites/1/ in Chromium, got it is blank"},
		},
		{
			name: "a failing RUN",
			change: func(t *testing.T, dir string) {
				replace(t, dir, "Dockerfile", "EXPOSE 8000\n", "RUN echo the lead is missing && exit 7\nEXPOSE 8000\n")
			},
			stage: "build",
			says:  []string{"build linux/amd64: Dockerfile:", "RUN echo the lead is missing && exit 7", "exit code: 7", "\n  | the lead is missing\n"},
			log:   "build-linux-amd64.log",
		},
		{
			name: "a mirror that does not answer",
			change: func(t *testing.T, dir string) {
				replace(t, dir, "versions.yml", "suite: trixie", "suite: forky") // not in any cache
			},
			env: func(t *testing.T) []string {
				file := filepath.Join(t.TempDir(), "apt.conf")
				write(t, "/", file, `Acquire::http::Proxy "http://127.0.0.1:1"; Acquire::https::Proxy "http://127.0.0.1:1";`, 0o644)
				return []string{"APT_CONFIG=" + file}
			},
			stage: "base",
			says:  []string{"mirror", "://"},
		},
		{
			name: "a database that never answers",
			change: func(t *testing.T, dir string) {
				write(t, dir, "pipeline/base/sidecars/usr/local/bin/postgres-run", "#!/bin/sh\necho deaf\nexec sleep infinity\n", 0o755)
			},
			args:  []string{"--timeout", "20s"},
			stage: "boot",
			says:  []string{"postgres", "20s", "deaf"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			repo := copyOfRepository(t, func(dir string) { test.change(t, dir) })
			var env []string
			if test.env != nil {
				env = test.env(t)
			}
			o := ciWith(t, env, repo, t.TempDir(), append([]string{"check", "--platform", "linux/amd64", "--timeout", "4m"}, test.args...)...)
			if o.code != 1 {
				t.Errorf("status %d, want 1", o.code)
			}
			for _, want := range test.says {
				if !strings.Contains(o.stderr, want) {
					t.Errorf("standard error does not say %q", want)
				}
			}
			if test.log != "" {
				text, err := os.ReadFile(filepath.Join(o.dist, "report", "logs", test.log))
				last := strings.Trim(test.says[len(test.says)-1], "\n |")
				if err != nil || !strings.Contains(string(text), last) {
					t.Errorf("the report keeps no log %s that says %q: %v", test.log, last, err)
				}
			}
			var failed []string
			for _, s := range o.report(t).Stages {
				// Sidecars and browser come from the same mirror at the same time.
				if s.Verdict() == "failed" && s.Stage != "sidecars" && s.Stage != "browser" {
					failed = append(failed, s.Stage)
				}
			}
			if len(failed) == 0 || failed[0] != test.stage {
				t.Errorf("failed stages %v, want %s first", failed, test.stage)
			}
			o.nothingIsLeft(t)
		})
	}
}
