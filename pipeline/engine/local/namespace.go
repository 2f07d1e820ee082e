package local

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// onThread runs fn on a separate operating-system thread that exits afterwards.
// Changes of fn to its thread (namespaces, root, working directory) do not affect
// the rest of this process.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread cannot exit, and /proc/self refers to it.
			done <- onThread(fn)
			runtime.UnlockOSThread()
			return
		}
		done <- fn()
		// Without UnlockOSThread the thread exits here.
	}()
	return <-done
}

// unshare moves the calling thread into a new namespace.
func unshare(kind string, flag int) error {
	switch err := unix.Unshare(flag); {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("making a %s namespace: %w, a seccomp filter perhaps: %s", kind, err, privileged)
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("making a %s namespace: this machine allows no more of them: see the files in /proc/sys/user", kind)
	case err != nil:
		return fmt.Errorf("making a %s namespace: %w: the kernel was built without them: use another machine, or --engine dagger", kind, err)
	}
	return nil
}

// privateMounts moves the calling thread into a new mount namespace without
// mount propagation.
func privateMounts() error {
	if err := unshare("mount", unix.CLONE_NEWNS); err != nil {
		return err
	}
	switch err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); {
	case errors.Is(err, unix.EINVAL):
		return errors.New("making the mounts private: the root directory is no mount point: enter it by mount --bind DIR DIR && chroot DIR")
	case err != nil:
		return fmt.Errorf("making the mounts private: %w: %s", err, privileged)
	}
	return nil
}

// bringUpLoopback brings up lo in the network namespace of the calling thread.
func bringUpLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// unmount unmounts a directory. It retries for at most wait while the mount is
// busy: a program that another thread is starting holds copies of all open files
// until its exec.
func unmount(dir string, wait time.Duration) error {
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		err := unix.Unmount(dir, 0)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Since(began) > wait {
			return fmt.Errorf("unmounting %s: %w", dir, err)
		}
	}
}

// leaveChroot makes the calling thread's root directory the root of its mount
// namespace, whose mounts must be private. Otherwise a process that enters the
// namespace later, as runc does, would be outside of the chroot.
func leaveChroot() (changed bool, err error) {
	wd, err := unix.Getwd()
	if err != nil {
		return false, err
	}
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	defer unix.Close(root)
	ns, err := unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	defer unix.Close(ns)
	if err := unix.Setns(ns, unix.CLONE_NEWNS); err != nil {
		return false, err
	}
	if err := unix.Fchdir(root); err != nil {
		return false, err
	}
	switch err := unix.PivotRoot(".", "."); {
	case errors.Is(err, unix.EBUSY): // it is already the namespace's root
		return false, unix.Chdir(wd)
	case err != nil:
		return false, err
	}
	return true, errors.Join(unix.Unmount(".", unix.MNT_DETACH), unix.Chdir(wd))
}

// namespaceScript is the first process of a namespace. It mounts a tmpfs at $2,
// runs the program in the remaining arguments and exits when that exits. When its
// standard input closes it stops the program, with SIGTERM first. At the end it
// kills all other processes and removes their cgroups, $1 below cgroupTop, which
// may have wildcards; it retries, since the kernel takes a moment to release killed
// processes. So even if this program is killed, nothing of it remains.
const namespaceScript = `mount -t proc proc /proc || exit 125
mkdir -p "$2" && mount -t tmpfs -o nosuid,nodev,mode=0700 tmpfs "$2" || exit 125
exec 3<&0
cgroup=$1
shift 2
"$@" </dev/null 3<&- & p=$!
{ cat <&3 >/dev/null; kill $p; sleep 2; kill -9 $p; } &
wait $p
code=$?
kill -9 -1
for n in 1 2 3 4 5 6 7 8 9 10; do
  left=$(find ` + cgroupMount + ` -depth -type d -path "*/` + cgroupTop + `/$cgroup*" ! -exec rmdir {} \; -print 2>/dev/null)
  [ "$left" ] || break
  sleep 0.1
done
find ` + cgroupMount + ` -maxdepth 2 -name ` + cgroupTop + ` -exec rmdir {} + 2>/dev/null
exit $code`

// namespace is a set of namespaces that exists as long as its first process.
type namespace struct {
	stdin io.Closer
	done  chan struct{} // closed when the first process, and so all others, have exited
}

// startNamespace starts the first process of a new mount namespace and of those in
// clone. The process must exit when its standard input closes, which also happens
// when this process exits.
func startNamespace(cmd *exec.Cmd, clone uintptr) (*namespace, error) {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	cmd.SysProcAttr = &unix.SysProcAttr{
		Cloneflags:   clone,
		Unshareflags: unix.CLONE_NEWNS, // Go makes it private
		Setpgid:      true,             // out of reach of a terminal's Ctrl-C
	}
	if err := cmd.Start(); err != nil {
		if errors.Is(err, unix.EPERM) {
			return nil, fmt.Errorf("making namespaces: %w; the local engine needs root with CAP_SYS_ADMIN", err)
		}
		return nil, err
	}
	n := &namespace{stdin: stdin, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(n.done)
	}()
	return n, nil
}

// end makes the first process exit, and waits for it.
func (n *namespace) end() {
	n.stdin.Close()
	<-n.done
}
