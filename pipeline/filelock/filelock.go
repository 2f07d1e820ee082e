// Package filelock keeps two processes from working on the same directory at
// once.
package filelock

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

// poll is how often a lock that another holds is tried again.
const poll = 100 * time.Millisecond

// Mode is how a lock is held.
type Mode int

// Many may share a lock; who has it exclusively is alone.
const (
	Exclusive Mode = unix.LOCK_EX
	Shared    Mode = unix.LOCK_SH
)

// Waiter is a log that also receives how long a lock kept its work waiting.
type Waiter interface{ Waited(time.Duration) }

// Lock takes the lock of a file, which is made when absent and stays behind.
// While another process holds it, Lock says so once on log, calling
// what is locked by the name given, and waits at most wait. The lock goes with
// the process, so none is ever stale.
func Lock(ctx context.Context, path string, mode Mode, what string, wait time.Duration, log io.Writer) (unlock func(), err error) {
	start, deadline := time.Now(), time.After(wait)
	for said := false; ; {
		unlock, err := Try(path, mode)
		if !errors.Is(err, errHeld) {
			if err != nil {
				err = fmt.Errorf("lock %s: %w", what, err)
			}
			if w, ok := log.(Waiter); ok && said {
				w.Waited(time.Since(start))
			}
			return unlock, err
		}
		if !said && log != nil {
			fmt.Fprintf(log, "waiting for another process that uses %s (at most %s)\n", what, wait)
			said = true
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for %s: %w", what, ctx.Err())
		case <-deadline:
			return nil, failure.Usagef("wait for %s: another process still holds %s after %s: let it end, stop it, or wait longer with --wait", what, path, wait)
		case <-time.After(poll):
		}
	}
}

// errHeld is what Try returns when another process, or another part of this
// one, holds the lock.
var errHeld = errors.New("held by another process")

// Try takes the lock or returns errHeld at once.
func Try(path string, mode Mode) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), int(mode)|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errHeld
		}
		return nil, err
	}
	return func() { f.Close() }, nil
}
