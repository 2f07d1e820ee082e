package local

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	testneed "github.com/linuxserver/docker-netbox/tests/need"
)

// onSmallDisk calls fn with an engine whose cache is on a separate file system of
// that many MB.
func onSmallDisk(t *testing.T, megabytes string, fn func(e *Engine) error) {
	t.Helper()
	testneed.Root(t, "mounting a small disk")
	dir := t.TempDir()
	e, err := New(Options{Cache: filepath.Join(dir, "engine"), Tools: dir, Environ: os.Environ()})
	if err != nil {
		t.Fatal(err)
	}
	err = onThread(func() error {
		if err := privateMounts(); err != nil {
			return err
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+megabytes+"m"); err != nil {
			return err
		}
		defer unix.Unmount(dir, unix.MNT_DETACH)
		if err := os.MkdirAll(e.dirs.state, 0o755); err != nil {
			return err
		}
		return fn(e)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestASmallDiskIsNamedBeforeAnythingStarts(t *testing.T) {
	onSmallDisk(t, "2000", func(e *Engine) error {
		for _, want := range []string{"the first run takes up to " + size(needFirst), "a run takes up to " + size(needAgain)} {
			var log bytes.Buffer
			if err := e.watchSpace(&log); err != nil {
				return err
			}
			e.space.close()
			if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, want) || !strings.Contains(text, "2.1 GB free") || !strings.Contains(text, e.opts.Cache) {
				t.Errorf("it does not say %q: %s", want, text)
			}
			if err := os.MkdirAll(filepath.Join(e.dirs.state, "root"), 0o755); err != nil { // as buildkitd does
				return err
			}
		}
		return nil
	})
}

func TestAFullDiskIsNamed(t *testing.T) {
	onSmallDisk(t, "80", func(e *Engine) error {
		broken := errors.New("exit status 1")
		if err := e.Full(broken); err != nil {
			t.Errorf("there is room, and it says %v", err)
		}
		if err := e.Full(errors.New("tar: write error: No space left on device")); failure.ExitCode(err) != failure.ExitUsage || !strings.Contains(err.Error(), "clean --cache") {
			t.Errorf("err is %v", err)
		}
		if err := os.WriteFile(filepath.Join(e.dirs.state, "much"), make([]byte, 40<<20), 0o600); err != nil {
			return err
		}
		if err := e.Full(broken); err == nil || !strings.Contains(err.Error(), e.opts.Cache+" had 0.0 GB free of 0.1 GB") {
			t.Errorf("err is %v", err)
		}
		return nil
	})
}

// For example mmdebstrap removes all its files when it fails.
func TestADiskThatWasFullForAMomentIsNamed(t *testing.T) {
	testneed.Root(t, "mounting a small disk")
	const within = "LOCAL_ENGINE_TEST_SMALL_DISK"
	dir := os.Getenv(within)
	if dir == "" { // run this test again, with private mounts for the whole program
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-euc", `mount -t tmpfs -o size=80m tmpfs "$1"; exec "$2" -test.v -test.run "^$3\$"`,
			"sh", t.TempDir(), self, t.Name())
		cmd.Env = append(os.Environ(), within+"="+cmd.Args[6])
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	e, err := New(Options{Cache: dir, Tools: dir, Environ: os.Environ()})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.watchSpace(t.Output()); err != nil {
		t.Fatal(err)
	}
	much := filepath.Join(dir, "much")
	if err := os.WriteFile(much, make([]byte, 40<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	seen := func() bool {
		e.space.mu.Lock()
		defer e.space.mu.Unlock()
		return e.space.dir != "" && e.space.free < 64<<20
	}
	for deadline := time.Now().Add(time.Minute); !seen(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody looks at the disk")
		}
	}
	if err := os.Remove(much); err != nil {
		t.Fatal(err)
	}
	if err := e.Full(errors.New("exit status 25")); err == nil {
		t.Error("it does not say that the disk was full")
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// Writes to the disk file must not be lost silently when the underlying disk is
// full.
func TestTheDiskFileIsFullBeforeTheDiskBelowItIs(t *testing.T) {
	onSmallDisk(t, "600", func(e *Engine) error {
		file, dir := e.backingDir()+".ext4", e.backingDir()
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := e.mountDisk(t.Context(), t.Output(), file, dir); err != nil {
			return err
		}
		defer unix.Unmount(dir, 0)
		// Files beside it grow meanwhile.
		if err := os.WriteFile(filepath.Join(e.opts.Cache, "beside"), make([]byte, 200<<20), 0o600); err != nil {
			return err
		}
		f, err := os.Create(filepath.Join(dir, "much"))
		if err != nil {
			return err
		}
		defer f.Close()
		written, err := io.Copy(f, io.LimitReader(ones{}, 1<<30))
		if !errors.Is(err, unix.ENOSPC) || written < 200<<20 {
			t.Errorf("after %d bytes: %v", written, err)
		}
		if err := f.Sync(); err != nil {
			t.Errorf("what has been written is lost: %v", err)
		}
		if hasErrors(file) {
			t.Error("the disk file is damaged")
		}
		return nil
	})
}

func TestADamagedDiskFileIsMadeAgain(t *testing.T) {
	onSmallDisk(t, "600", func(e *Engine) error {
		file, dir := e.backingDir()+".ext4", e.backingDir()
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		for _, want := range []string{"", "making the disk file " + file + " again"} {
			var log bytes.Buffer
			if err := e.mountDisk(t.Context(), &log, file, dir); err != nil {
				return err
			}
			_, err := os.Stat(filepath.Join(dir, "kept"))
			if !errors.Is(err, os.ErrNotExist) || !strings.Contains(log.String(), want) {
				t.Errorf("what was in it: %v; the log is %q, want %q", err, log.String(), want)
			}
			if err := os.WriteFile(filepath.Join(dir, "kept"), nil, 0o600); err != nil {
				return err
			}
			if err := unix.Unmount(dir, 0); err != nil {
				return err
			}
			f, err := os.OpenFile(file, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			if _, err := f.WriteAt([]byte{2}, 1024+0x3a); err != nil { // as ext4 records an error
				return err
			}
			if err := f.Close(); err != nil {
				return err
			}
		}
		return nil
	})
}

// ones is an endless file.
type ones struct{}

func (ones) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 1
	}
	return len(p), nil
}
