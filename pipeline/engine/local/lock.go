package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// lock takes the exclusive lock of a file, made when absent. While another
// process holds it, lock says so once on log and waits at most wait. The lock
// goes with the process, so none is ever stale.
func lock(ctx context.Context, path, what string, wait time.Duration, log io.Writer) (*os.File, error) {
	f, err := openLock(path)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", what, err)
	}
	deadline := time.Now().Add(wait)
	for said := false; ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", what, err)
		}
		if time.Now().After(deadline) {
			f.Close()
			return nil, failure.Usagef("waiting for %s: another process still holds %s after %s; let it end or stop it", what, path, wait)
		}
		if !said {
			fmt.Fprintf(log, "waiting for another process that uses %s (at most %s)\n", what, wait)
			said = true
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			f.Close()
			return nil, fmt.Errorf("waiting for %s: %w", what, err)
		}
	}
}

// tryLock takes the lock of an existing file, or says that another holds it.
func tryLock(path string) (f *os.File, ok bool) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, false
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		f.Close()
		return nil, false
	}
	return f, true
}

func openLock(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}
