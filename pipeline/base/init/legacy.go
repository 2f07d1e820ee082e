package main

import (
	"os"
	"path/filepath"
	"syscall"

	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
)

// legacy does what one of the three built-in oneshots does on its way up or
// down. Of what images of s6-overlay v2 have, /etc/cont-init.d and
// /etc/cont-finish.d are run.
func (t *transition) legacy(oneshot string) int {
	switch {
	case oneshot == "fix-attrs" && t.toUp:
		t.leaveOut("fix-attrs", "fix-attrs.d", "set owners and modes in a script of /custom-cont-init.d")
	case oneshot == "legacy-services" && t.toUp:
		t.leaveOut("services-up", "services.d", "make it a longrun under "+s6rc.Dir)
	case oneshot == "legacy-cont-init" && t.toUp:
		return t.contInit()
	case oneshot == "legacy-cont-init":
		for _, file := range t.configured("cont-finish.d") {
			t.legacyScript("cont-finish", file)
		}
	}
	return 0
}

// leaveOut names what is configured and not done.
func (c *container) leaveOut(by, dir, instead string) {
	for _, path := range c.configured(dir) {
		c.say(0, "%s: warning: %s is left out, this base image has no such thing: %s", by, path, instead)
	}
}

// configured lists a directory of legacy configuration, sorted.
func (c *container) configured(dir string) []string {
	entries, _ := os.ReadDir(filepath.Join("/etc", dir)) // mostly absent
	var paths []string
	for _, e := range entries {
		if e.Name()[0] != '.' {
			paths = append(paths, filepath.Join("/etc", dir, e.Name()))
		}
	}
	return paths
}

func (t *transition) contInit() int {
	failed := false
	for _, file := range t.configured("cont-init.d") {
		status := t.legacyScript("cont-init", file)
		t.say(2, "cont-init: info: %s exited %d", file, status)
		failed = failed || status != 0
	}
	if !failed || t.onFailure == 0 {
		return 0
	}
	t.say(1, "cont-init: warning: some scripts exited nonzero")
	if t.onFailure < 2 {
		return 0
	}
	return 1
}

func (t *transition) legacyScript(by, file string) int {
	t.say(2, "%s: info: running %s", by, file)
	p, err := t.children.start(command{argv: []string{file}, env: t.env, dir: filepath.Join(t.dir, s6rc.OneshotRunner)})
	if err != nil {
		t.say(0, "%s/%s: fatal: unable to exec %s: %s", scriptsDir, by, file, s6rc.Errno(err))
		return execStatus(err)
	}
	status, ok := within(p, 0, t.expired, syscall.SIGKILL)
	if !ok {
		return 128 + int(syscall.SIGKILL)
	}
	return exitCode(status)
}
