package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
)

// legacy gives what one of the three built-in oneshots does on its way up or
// down, or nil for any other service. These serve images of s6-overlay v2:
// /etc/fix-attrs.d, /etc/cont-init.d, /etc/services.d, /etc/cont-finish.d.
func (t *transition) legacy(service *s6rc.Service, up bool) func() int {
	if filepath.Dir(service.Path) != s6rc.BuiltinDir {
		return nil
	}
	switch {
	case service.Name == "fix-attrs" && up:
		return t.fixAttrs
	case service.Name == "legacy-cont-init" && up:
		return t.contInit
	case service.Name == "legacy-cont-init":
		return t.contFinish
	case service.Name == "legacy-services" && up:
		return t.legacyServicesUp
	case service.Name == "legacy-services":
		return t.legacyServicesDown
	}
	return func() int { return 0 }
}

// configured lists a directory of legacy configuration, sorted.
func (c *container) configured(dir string) []string {
	entries, _ := os.ReadDir(filepath.Join(c.etc, dir)) // mostly absent
	var paths []string
	for _, e := range entries {
		if e.Name()[0] != '.' {
			paths = append(paths, filepath.Join(c.etc, dir, e.Name()))
		}
	}
	return paths
}

// tolerated turns the failure of some legacy part into an exit code.
func (c *container) tolerated(failed bool, warning string) int {
	if !failed || c.onFailure == 0 {
		return 0
	}
	c.say(1, "%s", warning)
	if c.onFailure < 2 {
		return 0
	}
	return 1
}

func (c *container) fixAttrs() int {
	files := c.configured("fix-attrs.d")
	failed := false
	for _, file := range files {
		c.say(2, "fix-attrs: info: applying %s", file)
		if err := applyAttrs(file); err != nil {
			c.say(0, "fix-attrs: warning: %s", err)
			failed = true
		}
	}
	if len(files) > 0 {
		c.say(1, "fix-attrs: warning: fix-attrs is deprecated, please fix volume permissions in your container manager instead")
	}
	return c.tolerated(failed, "fix-attrs: warning: some fix files failed to apply")
}

// applyAttrs follows a file of lines "PATTERN true|false ACCOUNT FMODE DMODE",
// where true means all below too and ACCOUNT is USER or UID:GID, with a
// ",UID:GID" behind it in case there is no such user.
func applyAttrs(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0][0] == '#' {
			continue
		}
		if len(f) != 5 {
			return fmt.Errorf("%s: five fields wanted: %s", file, strings.TrimSpace(line))
		}
		uid, gid, err := account(f[2])
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		fmode, err1 := strconv.ParseUint(f[3], 8, 12)
		dmode, err2 := strconv.ParseUint(f[4], 8, 12)
		if err1 != nil || err2 != nil {
			return fmt.Errorf("%s: invalid mode: %s", file, strings.TrimSpace(line))
		}
		paths, err := filepath.Glob(f[0])
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, path := range paths {
			err := filepath.WalkDir(path, func(at string, d fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				mode := fmode
				if d.IsDir() {
					mode = dmode
				}
				if err := os.Lchown(at, uid, gid); err != nil {
					return err
				}
				if d.Type()&fs.ModeSymlink == 0 {
					if err := syscall.Chmod(at, uint32(mode)); err != nil {
						return fmt.Errorf("chmod %s: %w", at, err)
					}
				}
				if d.IsDir() && f[1] != "true" {
					return fs.SkipDir
				}
				return nil
			})
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	return nil
}

func account(text string) (uid, gid int, err error) {
	name, fallback, _ := strings.Cut(text, ",")
	if u, err := user.Lookup(name); err == nil {
		name = u.Uid + ":" + u.Gid
	} else if fallback != "" {
		name = fallback
	}
	if _, err := fmt.Sscanf(name, "%d:%d", &uid, &gid); err != nil {
		return 0, 0, fmt.Errorf("no such account: %s", text)
	}
	return uid, gid, nil
}

func (t *transition) contInit() int {
	failed := false
	for _, file := range t.configured("cont-init.d") {
		t.say(2, "cont-init: info: running %s", file)
		status := t.legacyScript("cont-init", file, 0)
		t.say(2, "cont-init: info: %s exited %d", file, status)
		failed = failed || status != 0
	}
	return t.tolerated(failed, "cont-init: warning: some scripts exited nonzero")
}

func (t *transition) contFinish() int {
	for _, file := range t.configured("cont-finish.d") {
		t.say(2, "cont-finish: info: running %s", file)
		t.legacyScript("cont-finish", file, t.finishLimit)
	}
	return 0
}

func (t *transition) legacyScript(by, file string, limit time.Duration) int {
	p, err := t.children.start(command{argv: []string{file}, env: t.env, dir: filepath.Join(t.dir, s6rc.OneshotRunner)})
	if err != nil {
		t.say(0, "%s/%s: 20: %s: %s", scriptsDir, by, file, errnoText(err))
		return execStatus(err)
	}
	status, ok := within(p, limit, t.expired, syscall.SIGKILL)
	if !ok {
		return 128 + int(syscall.SIGKILL)
	}
	return exitCode(status)
}

// legacyServicesUp hands the services of /etc/services.d to s6-svscan.
func (t *transition) legacyServicesUp() int {
	var silent, telling []string
	for _, source := range t.configured("services.d") {
		if info, err := os.Stat(source); err != nil || !info.IsDir() {
			continue
		}
		name := filepath.Base(source)
		dir := filepath.Join(legacyDir, name)
		note := " (no readiness notification)"
		if _, err := os.Stat(source + "/notification-fd"); err == nil {
			note = ""
			telling = append(telling, dir)
		} else {
			silent = append(silent, dir)
		}
		t.say(2, "services-up: info: copying legacy longrun %s%s", name, note)
		if err := copyTree(dir, source); err != nil {
			t.say(0, "services-up: fatal: unable to copy %s: %s", source, err)
			return 111
		}
		if err := os.Symlink(dir, filepath.Join(scanDir, name)); err != nil {
			t.say(0, "services-up: fatal: unable to link %s: %s", name, errnoText(err))
			return 111
		}
	}
	if len(silent)+len(telling) == 0 {
		return 0
	}
	t.s6("s6-svscanctl", "-a", scanDir)
	for _, dir := range slices.Concat(silent, telling) {
		t.awaitSupervisor(dir)
	}
	if !t.waitForLegacy {
		return 0
	}
	limit := strconv.FormatInt(t.bootLimit.Milliseconds(), 10)
	failed := len(silent) > 0 && t.s6("s6-svwait", append([]string{"-u", "-t", limit, "--"}, silent...)...) != 0
	failed = len(telling) > 0 && t.s6("s6-svwait", append([]string{"-U", "-t", limit, "--"}, telling...)...) != 0 || failed
	return t.tolerated(failed, "services-up: warning: some legacy longruns failed to start")
}

func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		target := to + strings.TrimPrefix(path, from)
		switch {
		case d.IsDir():
			return os.MkdirAll(target, 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, info.Mode().Perm())
	})
}

func (t *transition) legacyServicesDown() int {
	entries, _ := os.ReadDir(legacyDir)
	var dirs []string
	for _, e := range entries {
		dir := filepath.Join(legacyDir, e.Name())
		dirs = append(dirs, dir)
		os.Remove(filepath.Join(scanDir, e.Name()))
		if info, err := os.Stat(dir + "/log"); err == nil && info.IsDir() {
			dirs = append(dirs, dir+"/log")
		}
	}
	if len(dirs) > 0 {
		t.s6("s6-svscanctl", "-an", scanDir)
		t.s6("s6-svwait", append([]string{"-D", "-t", strconv.FormatInt(t.legacyGrace.Milliseconds(), 10), "--"}, dirs...)...)
	}
	return 0
}

// s6 runs one of s6's programs.
func (c *container) s6(name string, args ...string) int {
	status, err := c.children.run(command{argv: append([]string{name}, args...), env: c.env, dir: "/"})
	if err != nil {
		c.say(0, "init: warning: unable to exec %s: %s", name, errnoText(err))
	}
	return status
}
