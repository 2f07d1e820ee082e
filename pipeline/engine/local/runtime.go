package local

import (
	"bufio"
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// capabilities are the fourteen that Docker gives a container, by bit.
var capabilities = map[string]uint{
	"CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_FOWNER": 3, "CAP_FSETID": 4, "CAP_KILL": 5,
	"CAP_SETGID": 6, "CAP_SETUID": 7, "CAP_SETPCAP": 8, "CAP_NET_BIND_SERVICE": 10, "CAP_NET_RAW": 13,
	"CAP_SYS_CHROOT": 18, "CAP_MKNOD": 27, "CAP_AUDIT_WRITE": 29, "CAP_SETFCAP": 31,
}

// runtimeConfig is the OCI runtime configuration: what Docker gives a
// container by default, but for rlimits, which not every machine lets us set.
// It runs with the container's root as "/": users are looked up there.
func (c *Container) runtimeConfig() (map[string]any, error) {
	user, home, err := lookUpUser(cmp.Or(c.spec.User, c.config.User))
	if err != nil {
		return nil, err
	}
	caps, err := c.capabilities()
	if err != nil {
		return nil, err
	}
	args := c.spec.Entrypoint
	if args == nil {
		args = c.config.Entrypoint
	}
	if c.spec.Args != nil {
		args = append(slices.Clone(args), c.spec.Args...)
	} else {
		args = append(slices.Clone(args), c.config.Cmd...)
	}
	if len(args) == 0 {
		return nil, failure.Usagef("the image has neither entrypoint nor command, and none was given")
	}
	cwd := c.config.WorkingDir
	if cwd == "" {
		cwd = "/"
	}
	if err := os.MkdirAll(cwd, 0o755); err != nil {
		return nil, fmt.Errorf("making the working directory: %w", err)
	}
	capSets := map[string]any{"bounding": caps}
	if user["uid"] == 0 {
		capSets["effective"], capSets["permitted"] = caps, caps
	}
	c.process = map[string]any{
		"terminal": false, "user": user, "args": args, "env": c.environ(home), "cwd": cwd,
		"capabilities": capSets, "noNewPrivileges": c.spec.NoNewPrivileges,
	}
	namespaces := []map[string]any{{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}}
	if c.pod.unified {
		namespaces = append(namespaces, map[string]any{"type": "cgroup"})
	}
	return map[string]any{
		"ociVersion": "1.2.0",
		"process":    c.process,
		"root":       map[string]any{"path": "rootfs", "readonly": c.spec.ReadOnly},
		"hostname":   c.spec.Name,
		"mounts": []map[string]any{
			special("/proc", "proc", "nosuid", "noexec", "nodev"),
			special("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
			special("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
			special("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
			special("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
			special("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
			special("/sys/fs/cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"),
		},
		"linux": map[string]any{
			"namespaces":  namespaces,
			"cgroupsPath": "/" + c.cgroup + "/c",
			"resources":   map[string]any{"devices": []map[string]any{{"allow": false, "access": "rwm"}}},
			"maskedPaths": []string{
				"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
				"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
				"/sys/devices/virtual/powercap", "/sys/firmware",
			},
			"readonlyPaths": []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}, nil
}

func special(path, kind string, options ...string) map[string]any {
	return map[string]any{"destination": path, "type": kind, "source": kind, "options": options}
}

// environ is the image's environment, then the container's, with what Docker
// and qemu need besides.
func (c *Container) environ(home string) []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=" + c.spec.Name}
	if home != "" {
		env = append(env, "HOME="+home)
	}
	if cpu := c.pod.engine.opts.QEMUCPU[c.arch]; c.foreign && cpu != "" {
		env = append(env, "QEMU_CPU="+cpu)
	}
	own := map[string]string{}
	for _, kv := range c.config.Env {
		k, v, _ := strings.Cut(kv, "=")
		own[k] = v
	}
	maps.Copy(own, c.spec.Env)
	maps.Copy(own, c.spec.Secrets)
	return mergeEnv(env, own)
}

// mergeEnv sets variables in an environment.
func mergeEnv(base []string, set map[string]string) []string {
	env := slices.DeleteFunc(slices.Clone(base), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		_, overridden := set[name]
		return overridden
	})
	for _, k := range slices.Sorted(maps.Keys(set)) {
		env = append(env, k+"="+set[k])
	}
	return env
}

// lookUpUser resolves an image's User, "NAME", "UID", with or without
// ":GROUP", against the account files of the root in force.
func lookUpUser(spec string) (user map[string]any, home string, err error) {
	name, group, hasGroup := strings.Cut(spec, ":")
	if name == "" {
		name = "0"
	}
	uid, gid := -1, 0
	if n, err := strconv.Atoi(name); err == nil {
		uid = n
	}
	login := ""
	for f := range accounts("/etc/passwd", 7) {
		id, err := strconv.Atoi(f[2])
		if err != nil || (f[0] != name && id != uid) {
			continue
		}
		uid, login, home = id, f[0], f[5]
		gid, _ = strconv.Atoi(f[3])
		break
	}
	if uid < 0 {
		return nil, "", fmt.Errorf("the image runs as user %q, which its /etc/passwd does not have", name)
	}
	found := !hasGroup
	if n, err := strconv.Atoi(group); hasGroup && err == nil {
		gid, found = n, true
	}
	extra := []int{}
	for f := range accounts("/etc/group", 4) {
		id, err := strconv.Atoi(f[2])
		if err != nil {
			continue
		}
		if hasGroup && f[0] == group {
			gid, found = id, true
		}
		if login != "" && slices.Contains(strings.Split(f[3], ","), login) {
			extra = append(extra, id)
		}
	}
	if !found {
		return nil, "", fmt.Errorf("the image runs as group %q, which its /etc/group does not have", group)
	}
	if hasGroup {
		extra = []int{} // as Docker: a group given is the only one
	}
	user = map[string]any{"uid": uid, "gid": gid}
	if len(extra) > 0 {
		user["additionalGids"] = extra
	}
	return user, home, nil
}

// accounts yields the lines of an account file, split, if it is there.
func accounts(path string, fields int) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		f, err := os.Open(path)
		if err != nil {
			return
		}
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			if parts := strings.Split(s.Text(), ":"); len(parts) >= fields && !yield(parts) {
				return
			}
		}
	}
}

// capabilities are those the container gets: all that there are, or of these
// the ones that the container names.
func (c *Container) capabilities() ([]string, error) {
	if c.spec.Capabilities == nil {
		return c.pod.caps, nil
	}
	caps := []string{}
	for _, name := range c.spec.Capabilities {
		if _, known := capabilities[name]; !known {
			return nil, failure.Usagef("keeping the capability %s: Docker gives a container none of that name: keep one of %s",
				name, strings.Join(slices.Sorted(maps.Keys(capabilities)), ", "))
		}
		if slices.Contains(c.pod.caps, name) {
			caps = append(caps, name)
		}
	}
	return caps, nil
}

// availableCapabilities are those of the default set that this process may
// hand on: on some machines root lacks a few.
func availableCapabilities() []string {
	bounding := capabilitySet("CapBnd")
	var caps []string
	for _, name := range slices.Sorted(maps.Keys(capabilities)) {
		if bounding&(1<<capabilities[name]) != 0 {
			caps = append(caps, name)
		}
	}
	return caps
}
