package local

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
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
