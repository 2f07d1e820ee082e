package rehearsal

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/proc"
)

// started holds the running programs. The children of each end with it.
var started struct {
	sync.Mutex
	list map[*exec.Cmd]bool
}

// begin starts a program and records it, so that an interrupt of the tests kills it.
func begin(cmd *exec.Cmd) error {
	started.Lock()
	defer started.Unlock()
	if err := proc.Start(cmd); err != nil {
		return err
	}
	started.list[cmd] = true
	return nil
}

// end waits for a program that begin started.
func end(cmd *exec.Cmd) error {
	err := cmd.Wait()
	started.Lock()
	defer started.Unlock()
	delete(started.list, cmd)
	return err
}

// cgroups is the parent of the control groups of all containers.
var cgroups = fmt.Sprintf("/rehearsal-%d", os.Getpid())

// sweepCgroups removes the control groups of containers that have ended. The
// kernel takes a moment to forget killed processes.
func sweepCgroups() {
	_ = exec.Command("sh", "-c", `for n in 1 2 3 4 5 6 7 8 9 10; do
  find /sys/fs/cgroup -depth -type d -path "*$1*" -exec rmdir {} + 2>/dev/null
  [ "$(find /sys/fs/cgroup -type d -path "*$1*")" ] || exit 0
  sleep 0.1
done`, "sh", cgroups).Run()
}

// TestMain keeps all files in one directory and removes it at the end, also on
// Ctrl-C.
func TestMain(m *testing.M) {
	flag.Parse()
	started.list = map[*exec.Cmd]bool{}
	dir, err := os.MkdirTemp("", "docker-netbox-rehearsal-")
	if err == nil {
		err = os.Setenv("TMPDIR", dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-stop
		started.Lock() // never unlocked: begin starts nothing more
		for cmd := range started.list {
			_ = cmd.Process.Kill()
		}
		for cmd := range started.list {
			_, _ = syscall.Wait4(cmd.Process.Pid, nil, 0, nil)
		}
		sweepCgroups()
		_ = os.RemoveAll(dir)
		os.Exit(130)
	}()
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
