package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// sandbox is a container in little: own PID, mount, UTS, IPC and network
// namespaces, an overlay over a root file system, docker's default
// capabilities. The replay boots some two hundred of them, so it must cost
// next to nothing; the engine's real containers are tried elsewhere.
type sandbox struct {
	Lower    string // the root file system under the overlay
	Scratch  string // an existing empty directory; mounted over in the sandbox only
	Files    []sandboxFile
	ReadOnly bool
	RunTmpfs string // options of a tmpfs on /run; "": none
	Boot     bool   // with CAP_SYS_BOOT
	User     string // "UID:GID"; "": root
	Dir      string
	Command  []string
	Env      []string
}

// sandboxFile is written in turn: a directory, a file, or, with neither mode
// nor content, nothing in the place of what was there.
type sandboxFile struct {
	Path    string
	Mode    fs.FileMode
	Content []byte
}

const sandboxVariable = "DOCKER_NETBOX_INIT_TEST_SANDBOX"

// TestMain lets the test binary be the sandbox's first process: between the
// creation of the namespaces and the execution of /init only this program can
// stand, for unshare(1) knows no capabilities and no overlays.
func TestMain(m *testing.M) {
	if os.Getenv(sandboxVariable) != "" {
		fmt.Fprintln(os.Stderr, "sandbox:", enter())
		os.Exit(125)
	}
	os.Exit(m.Run())
}

// command makes the command that starts the sandbox. Its process is PID 1
// inside; its standard input is taken.
func (s sandbox) command() (*exec.Cmd, error) {
	spec, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Stdin = bytes.NewReader(spec)
	cmd.Env = []string{sandboxVariable + "=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET,
		Pdeathsig:  unix.SIGKILL,
		Setsid:     true,
	}
	return cmd, nil
}

// enter makes the sandbox of this process, new namespaces and all, and
// becomes its command.
func enter() error {
	runtime.LockOSThread() // the capabilities dropped are the thread's
	var s sandbox
	if err := json.NewDecoder(os.Stdin).Decode(&s); err != nil {
		return err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	if err := unix.Dup3(int(null.Fd()), 0, 0); err != nil {
		return err
	}
	// What this machine left open is nothing to the container.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return err
	}
	root := s.Scratch + "/root"
	steps := []func() error{
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return unix.Mount("sandbox", s.Scratch, "tmpfs", 0, "") },
		func() error {
			for _, dir := range []string{"upper", "work", "root"} {
				if err := os.Mkdir(filepath.Join(s.Scratch, dir), 0o755); err != nil {
					return err
				}
			}
			return nil
		},
		func() error {
			return unix.Mount("sandbox", root, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", s.Lower, s.Scratch, s.Scratch))
		},
		func() error { return s.write(root) },
		func() error { return unix.Mount("proc", root+"/proc", "proc", 0, "") },
		func() error { return devices(root + "/dev") },
		func() error {
			if s.RunTmpfs == "" {
				return nil
			}
			flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV)
			if strings.Contains(","+s.RunTmpfs+",", ",noexec,") {
				flags |= unix.MS_NOEXEC
			}
			return unix.Mount("tmpfs", root+"/run", "tmpfs", flags, "mode=755")
		},
		func() error {
			if !s.ReadOnly {
				return nil
			}
			return unix.Mount("", root, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
		},
		func() error { return os.Chdir(root) },
		func() error { return unix.PivotRoot(".", ".") },
		func() error { return unix.Unmount(".", unix.MNT_DETACH) },
		func() error { return os.Chdir("/" + s.Dir) },
		func() error { return dropCapabilities(s.Boot) },
		func() error { return become(s.User) },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	path := s.Command[0]
	if !strings.Contains(path, "/") {
		path = "/bin/" + path
	}
	return fmt.Errorf("exec %s: %w", path, unix.Exec(path, s.Command, s.Env))
}

func (s sandbox) write(root string) error {
	for _, f := range s.Files {
		path := root + f.Path
		switch {
		case f.Mode.IsDir():
			if err := os.MkdirAll(path, f.Mode.Perm()); err != nil {
				return err
			}
		case f.Mode == 0 && f.Content == nil:
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		default:
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(path, f.Content, f.Mode); err != nil {
				return err
			}
			if err := os.Chmod(path, f.Mode); err != nil { // whatever the umask
				return err
			}
		}
	}
	return nil
}

func devices(dev string) error {
	if err := unix.Mount("tmpfs", dev, "tmpfs", unix.MS_NOSUID, "mode=755"); err != nil {
		return err
	}
	for _, name := range []string{"null", "zero", "full", "random", "urandom"} {
		if err := os.WriteFile(dev+"/"+name, nil, 0o666); err != nil {
			return err
		}
		if err := unix.Mount("/dev/"+name, dev+"/"+name, "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(target, dev+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

// become takes on a user, for good.
func become(user string) error {
	if user == "" {
		return nil
	}
	var uid, gid int
	if _, err := fmt.Sscanf(user, "%d:%d", &uid, &gid); err != nil {
		return fmt.Errorf("user %q: %w", user, err)
	}
	if err := syscall.Setgroups(nil); err != nil {
		return err
	}
	if err := syscall.Setgid(gid); err != nil {
		return err
	}
	return syscall.Setuid(uid)
}

// dropCapabilities leaves what docker leaves by default: what the bounding set
// has not, the program that is executed will not have.
func dropCapabilities(boot bool) error {
	kept := map[int]bool{
		unix.CAP_CHOWN: true, unix.CAP_DAC_OVERRIDE: true, unix.CAP_FOWNER: true, unix.CAP_FSETID: true,
		unix.CAP_KILL: true, unix.CAP_SETGID: true, unix.CAP_SETUID: true, unix.CAP_SETPCAP: true,
		unix.CAP_NET_BIND_SERVICE: true, unix.CAP_NET_RAW: true, unix.CAP_SYS_CHROOT: true,
		unix.CAP_MKNOD: true, unix.CAP_AUDIT_WRITE: true, unix.CAP_SETFCAP: true,
		unix.CAP_SYS_BOOT: boot,
	}
	for c := range unix.CAP_LAST_CAP + 1 {
		if !kept[c] {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil && err != unix.EINVAL {
				return fmt.Errorf("dropping capability %d: %w", c, err)
			}
		}
	}
	return nil
}
