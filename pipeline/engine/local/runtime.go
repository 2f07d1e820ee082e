package local

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/engine/environ"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// capabilities lists Docker's fourteen default capabilities.
var capabilities = map[string]int{
	"CAP_AUDIT_WRITE": unix.CAP_AUDIT_WRITE, "CAP_CHOWN": unix.CAP_CHOWN, "CAP_DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE,
	"CAP_FOWNER": unix.CAP_FOWNER, "CAP_FSETID": unix.CAP_FSETID, "CAP_KILL": unix.CAP_KILL, "CAP_MKNOD": unix.CAP_MKNOD,
	"CAP_NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE, "CAP_NET_RAW": unix.CAP_NET_RAW, "CAP_SETFCAP": unix.CAP_SETFCAP,
	"CAP_SETGID": unix.CAP_SETGID, "CAP_SETPCAP": unix.CAP_SETPCAP, "CAP_SETUID": unix.CAP_SETUID, "CAP_SYS_CHROOT": unix.CAP_SYS_CHROOT,
}

// runtimeConfig returns the OCI runtime configuration: Docker's defaults for a
// container, except rlimits, which cannot be set on every machine.
func (c *Container) runtimeConfig() (*specs.Spec, error) {
	var accounts [2]string
	for i, name := range []string{"/etc/passwd", "/etc/group"} {
		var err error
		if accounts[i], err = c.path(name); err != nil {
			return nil, err
		}
	}
	name := cmp.Or(c.spec.User, c.config.Config.User)
	account, err := user.GetExecUserPath(name, nil, accounts[0], accounts[1])
	if err != nil {
		return nil, fmt.Errorf("looking up the user %q in the image: %w", name, err)
	}
	args := c.spec.Command(c.config.Config.Entrypoint, c.config.Config.Cmd)
	if len(args) == 0 {
		return nil, failure.Usagef("the image has neither entrypoint nor command, and none was given")
	}
	kept, err := c.capabilities()
	if err != nil {
		return nil, err
	}
	caps := &specs.LinuxCapabilities{Bounding: kept}
	if account.Uid == 0 {
		caps.Effective, caps.Permitted = kept, kept
	}
	c.process = specs.Process{
		User: specs.User{UID: uint32(account.Uid), GID: uint32(account.Gid)},
		Args: args, Env: c.environ(account.Home).List(), Cwd: cmp.Or(c.config.Config.WorkingDir, "/"), Capabilities: caps, NoNewPrivileges: c.spec.NoNewPrivileges,
	}
	for _, gid := range account.Sgids {
		c.process.User.AdditionalGids = append(c.process.User.AdditionalGids, uint32(gid))
	}
	namespaces := []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}}
	if isFile(filepath.Join(cgroupMount, "cgroup.controllers")) { // version 2 alone
		namespaces = append(namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}
	return &specs.Spec{
		Version:  "1.2.0",
		Process:  &c.process,
		Root:     &specs.Root{Path: "rootfs", Readonly: c.spec.ReadOnly},
		Hostname: c.spec.Name,
		Mounts: []specs.Mount{
			special("/proc", "proc", "nosuid", "noexec", "nodev"),
			special("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
			special("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
			special("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
			special("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
			special("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
			special("/sys/fs/cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"),
			{Destination: "/etc/hosts", Source: filepath.Join(c.pod.state, "hosts"), Options: []string{"bind"}},
			{Destination: "/etc/resolv.conf", Source: filepath.Join(c.pod.state, "resolv.conf"), Options: []string{"bind"}},
		},
		Linux: &specs.Linux{
			Namespaces:  namespaces,
			CgroupsPath: filepath.Join("/", cgroupTop, c.id, "c"),
			Resources:   &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}},
			MaskedPaths: []string{
				"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
				"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
				"/sys/devices/virtual/powercap", "/sys/firmware",
			},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}, nil
}

func special(path, kind string, options ...string) specs.Mount {
	return specs.Mount{Destination: path, Type: kind, Source: kind, Options: options}
}

// environ returns the container's environment: the variables that Docker sets and
// QEMU_CPU, overridden by the image's, overridden by the container's.
func (c *Container) environ(home string) environ.Environment {
	env := environ.Environment{"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME": c.spec.Name}
	if home != "" {
		env["HOME"] = home
	}
	if cpu := c.pod.engine.opts.QEMUCPU[c.config.Architecture]; cpu != "" && emulated(c.config.Architecture) {
		env["QEMU_CPU"] = cpu
	}
	maps.Copy(env, environ.Parse(c.config.Config.Env))
	maps.Copy(env, c.spec.Env)
	maps.Copy(env, c.spec.Secrets)
	return env
}

// capabilities returns the capabilities of the container: all available ones, or
// those of them that its spec lists.
func (c *Container) capabilities() ([]string, error) {
	available := availableCapabilities()
	if c.spec.Capabilities == nil {
		return available, nil
	}
	caps := []string{}
	for _, name := range c.spec.Capabilities {
		if _, known := capabilities[name]; !known {
			return nil, failure.Usagef("keep capability %s: it is not one of Docker's defaults: keep one of %s",
				name, strings.Join(slices.Sorted(maps.Keys(capabilities)), ", "))
		}
		if slices.Contains(available, name) {
			caps = append(caps, name)
		}
	}
	return caps, nil
}

// availableCapabilities returns those of the default set that this process can
// pass on: on some machines root lacks a few.
func availableCapabilities() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(capabilities)), func(name string) bool {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(capabilities[name]), 0, 0, 0)
		return err != nil || has == 0
	})
}
