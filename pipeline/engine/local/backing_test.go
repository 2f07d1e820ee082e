package local_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
)

// settle prepares the machine as the command line does, so that these tests also
// run where the cache is on an overlay. Each test reports what the machine does
// not permit.
func settle(platforms ...v1.Platform) error {
	dir, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	opts := options(filepath.Join(dir, "docker-netbox", "engine-test"), time.Minute)
	opts.Platforms = platforms
	e, err := local.New(opts)
	if err != nil {
		return err
	}
	return e.Prepare(context.Background(), os.Stderr, func() error { return unix.Exec("/proc/self/exe", os.Args, os.Environ()) })
}

// onOverlay runs this test program in a root directory on an overlay, as in a
// container. Only the tools and Go's cache are mounted into it.
const onOverlay = `
mount -t tmpfs -o size=4G tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
for dir in /proc /sys /dev "$2" "$GOCACHE"; do mkdir -p "$1/root$dir"; mount --rbind "$dir" "$1/root$dir"; done
if [ -n "$NO_LOOP_DEVICES" ]; then
  mount -t tmpfs tmpfs "$1/root/dev"
  for device in null zero full random urandom tty; do cp -a "/dev/$device" "$1/root/dev/$device"; done
fi
mkdir -p "$1/root$4/docker-netbox/engine"
mount --bind "$3" "$1/root$4/docker-netbox/engine"
cp "$5" "$1/root$4/tests"
export XDG_CACHE_HOME="$4"
here=$PWD test="$4/tests" root="$1/root"
shift 5
exec chroot "$root" sh -c 'cd "$1" && shift && exec "$@"' sh "$here" "$test" "$@"
`

func overlaid(t *testing.T, args ...string) (cmd *exec.Cmd, name string) {
	t.Helper()
	testCache(t) // builds the tools
	repo, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	gocache, err := exec.CommandContext(t.Context(), "go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	name = "/overlaid-" + rand.Text()
	cmd = exec.CommandContext(t.Context(), "unshare", append([]string{"--mount", "sh", "-euc", onOverlay, "sh",
		t.TempDir(), repo, sharedCache(t), name, self, "-test.timeout", "10m"}, args...)...) // it also ends when no process waits for it
	cmd.Env = append(os.Environ(), "GOCACHE="+strings.TrimSpace(string(gocache)), "NO_LOOP_DEVICES=")
	return cmd, name
}

// loops returns an error if a loop device is backed by a file of that name.
func loops(name string) error {
	files, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, file := range files {
		if data, _ := os.ReadFile(file); bytes.Contains(data, []byte(name)) {
			return fmt.Errorf("%s: %s", file, data)
		}
	}
	return nil
}

func TestTheContractIsKeptWithTheCacheOnAnOverlay(t *testing.T) {
	cmd, name := overlaid(t, "-test.run", "^TestLocalEngineKeepsTheContract$", "-test.v")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestLocalEngineKeepsTheContract")) {
		t.Errorf("%v\n%s", err, out)
	}
	if !bytes.Contains(out, []byte("lies on overlay, which carries no overlays: builds and containers are kept in the disk file "+name)) {
		t.Errorf("it did not say what carries the overlays:\n%s", out)
	}
	eventually(t, 10*time.Second, func() error { return loops(name) })
}

// As in a privileged container with a minimal /dev.
func TestWithoutLoopDevicesMemoryCarriesTheOverlays(t *testing.T) {
	cmd, name := overlaid(t, "-test.run", "^TestARestartKeepsTheRootFileSystemAndANewStartDoesNot$", "-test.v")
	cmd.Env = append(cmd.Env, "NO_LOOP_DEVICES=1")
	out, err := cmd.CombinedOutput()
	if bytes.Contains(out, []byte("nor memory (")) {
		if !bytes.Contains(out, []byte("put the cache on a volume: docker run -v ")) {
			t.Errorf("it does not say what to do:\n%s", out)
		}
		t.Skip("SKIPPED: this machine has too little memory free")
	}
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestARestartKeepsTheRootFileSystemAndANewStartDoesNot")) || !bytes.Contains(out, []byte("are kept in memory")) {
		t.Errorf("%v\n%s", err, out)
	}
	if err := loops(name); err != nil {
		t.Error(err)
	}
}

func TestAProcessThatEndsInAnyWayLeavesNoDiskMounted(t *testing.T) {
	for _, signal := range []unix.Signal{unix.SIGKILL, unix.SIGQUIT, unix.SIGINT} {
		t.Run(unix.SignalName(signal), func(t *testing.T) {
			cmd, name := overlaid(t, "-test.run", "^TestLocalEngineKeepsTheContract$", "-test.v")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var said strings.Builder
			for buf := make([]byte, 4096); strings.Count(said.String(), "=== RUN") < 3; {
				n, err := out.Read(buf)
				said.Write(buf[:n])
				if err != nil {
					t.Fatalf("it ended too soon: %v\n%s", err, said.String())
				}
			}
			if loops(name) == nil {
				t.Error("no disk is mounted while it runs")
			}
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			eventually(t, 20*time.Second, func() error { return errors.Join(loops(name), noProcess(name)) })
		})
	}
}
