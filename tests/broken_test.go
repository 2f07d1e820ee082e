package tests

import (
	"path/filepath"
	"strings"
	"testing"
)

const services = "root/etc/s6-overlay/s6-rc.d/"

// TestBrokenImagesTurnCheckRed breaks the image in ways people have broken
// images, and holds check to saying so.
func TestBrokenImagesTurnCheckRed(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(t *testing.T, dir string)
		stage  string   // the first to fail
		says   []string // what standard error must hold
	}{
		{
			name: "a dependency file removed",
			change: func(t *testing.T, dir string) {
				sh(t, dir, `rm `+services+`svc-netbox/dependencies.d/svc-netbox-prepare`)
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
			name: "a worker that never starts",
			change: func(t *testing.T, dir string) {
				write(t, dir, "root/opt/netbox/lib/netbox_container/worker.py", "import time\n\ntime.sleep(3600)\n", 0o644)
			},
			stage: "smoke",
			says:  []string{"worker"},
		},
		{
			name: "NetBox answering 500",
			change: func(t *testing.T, dir string) {
				write(t, dir, "root/opt/netbox/lib/netbox_container/broken.py", "def middleware(get_response):\n"+
					"    def answer(request):\n"+
					"        if request.path.startswith('/api/dcim/'):\n"+
					"            raise RuntimeError('broken on purpose')\n"+
					"        return get_response(request)\n"+
					"    return answer\n", 0o644)
				appendTo(t, dir, "root/opt/netbox/conf/configuration.py", "\nMIDDLEWARE_APPEND = ['netbox_container.broken.middleware']\n")
			},
			stage: "smoke",
			says:  []string{"500"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			repo := copyOfRepository(t, func(dir string) { test.change(t, dir) })
			o := ci(t, repo, t.TempDir(), "check", "--platform", "linux/amd64", "--timeout", "4m")
			if o.code != 1 {
				t.Errorf("status %d, want 1", o.code)
			}
			for _, want := range test.says {
				if !strings.Contains(o.stderr, want) {
					t.Errorf("standard error does not say %q", want)
				}
			}
			var failed []string
			for _, s := range o.report(t).Stages {
				if s.Verdict() == "failed" {
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

func appendTo(t *testing.T, dir, name, text string) {
	t.Helper()
	old := sh(t, dir, `cat "$1"`, name)
	write(t, dir, filepath.FromSlash(name), old+"\n"+text, 0o644)
}
