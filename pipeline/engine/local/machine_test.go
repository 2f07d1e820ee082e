package local

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	testneed "github.com/linuxserver/docker-netbox/tests/need"
)

func TestWhatRootMayNotDoIsNamedWithTheWayOut(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root can give a capability up")
	}
	e, err := New(Options{Cache: t.TempDir(), Tools: t.TempDir(), Environ: os.Environ()})
	if err != nil {
		t.Fatal(err)
	}
	err = onThread(func() error {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err := unix.Capget(&header, &data[0]); err != nil {
			return err
		}
		data[0].Effective &^= 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_NET_ADMIN
		if err := unix.Capset(&header, &data[0]); err != nil {
			return err
		}
		return e.Setup(t.Context(), t.Output())
	})
	if failure.ExitCode(err) != failure.ExitUsage || !strings.Contains(err.Error(), "no CAP_NET_ADMIN, CAP_SYS_ADMIN: ") || !strings.Contains(err.Error(), "--privileged") {
		t.Errorf("err is %v", err)
	}
}

func TestACapabilityThatThisProcessMayNotHandOnNoContainerGets(t *testing.T) {
	testneed.Root(t, "dropping a capability")
	if caps := availableCapabilities(); !slices.Contains(caps, "CAP_CHOWN") || !slices.Contains(caps, "CAP_NET_RAW") {
		t.Fatalf("root has only %q", caps)
	}
	err := onThread(func() error {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_NET_RAW, 0, 0, 0); err != nil {
			return err
		}
		if caps := availableCapabilities(); !slices.Contains(caps, "CAP_CHOWN") || slices.Contains(caps, "CAP_NET_RAW") {
			t.Errorf("without CAP_NET_RAW it hands on %q", caps)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEmptyControlGroupsOfDeadProcessesGo(t *testing.T) {
	testneed.Root(t, "making control groups")
	mount := hierarchies(cgroupMount)
	if len(mount) == 0 {
		t.Skip("SKIPPED: no control groups are mounted")
	}
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	made := map[int]string{}
	for _, pid := range []int{dead.Process.Pid, os.Getpid()} {
		made[pid] = filepath.Join(mount[0], cgroupTop, fmt.Sprintf("%d-swept-1-1", pid))
		if err := os.MkdirAll(filepath.Join(made[pid], "c"), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { removeCgroup(made[pid]) })
	}
	removeStaleCgroups()
	if _, err := os.Stat(made[dead.Process.Pid]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("that of the dead process: %v", err)
	}
	if _, err := os.Stat(made[os.Getpid()]); err != nil {
		t.Errorf("that of a living one: %v", err)
	}
	// An unlocked directory is stale even if its PID is in use again.
	e := &Engine{id: "1-next", opts: Options{Log: t.Output()}}
	e.dirs.run = t.TempDir()
	if err := os.Mkdir(filepath.Join(e.dirs.run, fmt.Sprintf("%d-swept", os.Getpid())), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := e.createProcessDir(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.unlock()
	if _, err := os.Stat(made[os.Getpid()]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("that of a run which has ended, whose number is in use again: %v", err)
	}
}
