package local

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/gotool"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
)

// privileged is what to do about nearly all that a container lacks.
const privileged = "a container has to be started by root and with --privileged (docker run --privileged …)"

// required are the capabilities without which the engine cannot work; a
// container has them all when it is privileged, and not otherwise.
var required = map[string]int{
	"CAP_CHOWN": unix.CAP_CHOWN, "CAP_DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "CAP_FOWNER": unix.CAP_FOWNER, "CAP_FSETID": unix.CAP_FSETID,
	"CAP_KILL": unix.CAP_KILL, "CAP_MKNOD": unix.CAP_MKNOD, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_SETGID": unix.CAP_SETGID,
	"CAP_SETUID": unix.CAP_SETUID, "CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN, "CAP_SYS_CHROOT": unix.CAP_SYS_CHROOT,
}

// permitted tries, in a few milliseconds and without a trace, what the engine
// will do to this machine. What is missing would otherwise show late, and in
// the words of whichever program met it first, or not at all.
func (e *Engine) permitted() error {
	if os.Geteuid() != 0 {
		var first string
		if needs := e.needs(); len(needs) > 0 {
			first = installCommand(needs) + " && "
		}
		return failure.Usagef("the local engine mounts and makes namespaces, which takes root: run as root: %ssudo --preserve-env=PATH,HOME COMMAND, with the same COMMAND", first)
	}
	if err := gotool.Trusted(e.opts.Environ, e.opts.Cache, filepath.Dir(e.opts.Cache), e.dirs.tools); err != nil {
		return err
	}
	if missing := lackingCapabilities(); len(missing) > 0 {
		return failure.Usagef("the local engine mounts and makes namespaces, which root may not do here: no %s: %s", strings.Join(missing, ", "), privileged)
	}
	err := onThread(func() error {
		if err := privateMounts(); err != nil {
			return err
		}
		// Those that the build daemon, the pods and runc make besides.
		for _, ns := range []struct {
			kind string
			flag int
		}{{"PID", unix.CLONE_NEWPID}, {"network", unix.CLONE_NEWNET}, {"IPC", unix.CLONE_NEWIPC}, {"UTS", unix.CLONE_NEWUTS}} {
			if err := unshare(ns.kind, ns.flag); err != nil {
				return err
			}
		}
		for _, p := range e.opts.Platforms {
			if err := mountBinfmt(p.Architecture, io.Discard); err != nil {
				return err
			}
		}
		// Over something that is there; this thread alone sees it.
		if err := unix.Mount("tmpfs", "/proc", "tmpfs", 0, ""); err != nil {
			return fmt.Errorf("mounting a tmpfs: %w: %s", err, privileged)
		}
		return checkDevices("/proc")
	})
	if err != nil {
		return failure.Usage(err)
	}
	for _, dir := range hierarchies(cgroupMount) {
		if err := unix.Access(dir, unix.W_OK); err != nil {
			return failure.Usagef("making a control group in %s: %w: %s", dir, err, privileged)
		}
	}
	return nil
}

// checkDevices makes a device of a container and opens it: root of a user
// namespace may not do the one, a device filter forbids the other.
func checkDevices(dir string) error {
	if _, err := os.Stat(os.DevNull); err != nil {
		return fmt.Errorf("looking for the devices that every program needs: %w: %s", err, privileged)
	}
	node := filepath.Join(dir, "null")
	err := unix.Mknod(node, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3)))
	if err == nil {
		var fd int
		if fd, err = unix.Open(node, unix.O_RDWR|unix.O_CLOEXEC, 0); err == nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return fmt.Errorf("making the device null as every container has it: %w: %s", err, privileged)
	}
	return nil
}

// mountBinfmt mounts, unless it is there, what the kernel is taught an architecture
// by, if the machine is of another; whether qemu is there to be installed shows
// later.
func mountBinfmt(arch string, log io.Writer) error {
	if !emulated(arch) || isFile(filepath.Join(platform.Binfmt, "register")) {
		return nil
	}
	fmt.Fprintf(log, "mounting %s\n", platform.Binfmt)
	if err := unix.Mount("binfmt_misc", platform.Binfmt, "binfmt_misc", 0, ""); err != nil {
		return failure.Usagef("emulating %s: mounting binfmt_misc: %w: run modprobe binfmt_misc on the machine itself, or leave %[1]s out with --platform linux/%[3]s", arch, err, runtime.GOARCH)
	}
	return nil
}

// lackingCapabilities are those of the required ones that this thread does not
// have.
func lackingCapabilities() []string {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var has [2]unix.CapUserData
	if err := unix.Capget(&header, &has[0]); err != nil {
		return nil // what is missing shows by what it is needed for
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(required)), func(name string) bool {
		return has[0].Effective&(1<<required[name]) != 0
	})
}
