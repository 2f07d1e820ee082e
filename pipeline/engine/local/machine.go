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

// privileged is the advice for nearly everything that a container can lack.
const privileged = "a container has to be started by root and with --privileged (docker run --privileged …)"

// required lists the capabilities that the engine needs. Only a privileged
// container has all of them.
var required = map[string]int{
	"CAP_CHOWN": unix.CAP_CHOWN, "CAP_DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "CAP_FOWNER": unix.CAP_FOWNER, "CAP_FSETID": unix.CAP_FSETID,
	"CAP_KILL": unix.CAP_KILL, "CAP_MKNOD": unix.CAP_MKNOD, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_SETGID": unix.CAP_SETGID,
	"CAP_SETUID": unix.CAP_SETUID, "CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN, "CAP_SYS_CHROOT": unix.CAP_SYS_CHROOT,
}

// permitted tests, within milliseconds and without side effects, the privileged
// operations that the engine needs. Without this test a missing privilege would
// show late, with an error of some other program, or not at all.
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
		// The build daemon, the pods and runc create these namespaces too.
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
		// /proc always exists, and only this thread sees the mount.
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

// checkDevices creates a device node and opens it: root of a user namespace may
// not create one, and a device filter may forbid opening it.
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

// mountBinfmt mounts binfmt_misc if arch needs an emulator and it is not mounted.
// Whether qemu can be installed is found out later.
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

// lackingCapabilities returns the required capabilities that this thread lacks.
func lackingCapabilities() []string {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var has [2]unix.CapUserData
	if err := unix.Capget(&header, &has[0]); err != nil {
		return nil // a missing one then makes a later operation fail
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(required)), func(name string) bool {
		return has[0].Effective&(1<<required[name]) != 0
	})
}
