// Package filelock provides file locks between processes.
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

// poll is the interval between attempts to lock.
const poll = 100 * time.Millisecond

// Mode is how a lock is held.
type Mode int

// A Shared lock may have many holders, an Exclusive lock only one.
const (
	Exclusive Mode = unix.LOCK_EX
	Shared    Mode = unix.LOCK_SH
)

// Waiter is implemented by logs that record how long work waited for a lock.
type Waiter interface{ Waited(time.Duration) }

// Lock locks a file, which is created if missing and never removed. While another
// process holds the lock, it waits at most wait, and prints a line about that on
// log; what names the locked object in messages. The kernel releases the lock when
// the process exits, so there are no stale locks.
func Lock(ctx context.Context, path string, mode Mode, what string, wait time.Duration, log io.Writer) (unlock func(), err error) {
	start, deadline := time.Now(), time.After(wait)
	for warned := false; ; {
		unlock, err := Try(path, mode)
		if !errors.Is(err, errHeld) {
			if err != nil {
				err = fmt.Errorf("lock %s: %w", what, err)
			}
			if w, ok := log.(Waiter); ok && warned {
				w.Waited(time.Since(start))
			}
			return unlock, err
		}
		if !warned && log != nil {
			fmt.Fprintf(log, "waiting for another process that uses %s (at most %s)\n", what, wait)
			warned = true
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

// errHeld is the error of Try when another process, or another part of this one,
// holds the lock.
var errHeld = errors.New("held by another process")

// Try locks a file without waiting. It returns errHeld if the lock is held.
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
