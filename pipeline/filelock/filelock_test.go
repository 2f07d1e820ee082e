package filelock_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/filelock"
)

func TestTheSecondWaitsUntilTheFirstIsDone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "lock")
	unlock, err := filelock.Lock(t.Context(), path, filelock.Exclusive, "the cache", time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	released := make(chan time.Time, 1)
	time.AfterFunc(300*time.Millisecond, func() { released <- time.Now(); unlock() })
	var log waiter
	second, err := filelock.Lock(t.Context(), path, filelock.Exclusive, "the cache", time.Minute, &log)
	if err != nil {
		t.Fatal(err)
	}
	defer second()
	if time.Now().Before(<-released) {
		t.Error("the second had the lock before the first gave it up")
	}
	if strings.Count(log.String(), "waiting for another process that uses the cache") != 1 {
		t.Errorf("log: %q", log.String())
	}
	if log.waited <= 0 {
		t.Error("the log is not given how long it took")
	}
}

// waiter is a log that records how long work waited for a lock.
type waiter struct {
	bytes.Buffer
	waited time.Duration
}

func (w *waiter) Waited(d time.Duration) { w.waited += d }

func TestWaitingEndsWithTheDeadlineOrTheContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := filelock.Try(path, filelock.Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := filelock.Try(path, filelock.Exclusive); err == nil || err.Error() != "held by another process" {
		t.Errorf("try: %v", err)
	}
	_, err = filelock.Lock(t.Context(), path, filelock.Exclusive, "the cache", time.Millisecond, nil)
	if failure.ExitCode(err) != failure.ExitUsage || !strings.Contains(err.Error(), path) {
		t.Errorf("deadline: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := filelock.Lock(ctx, path, filelock.Exclusive, "the cache", time.Minute, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancel: %v", err)
	}
}

func TestManyShareALockButNotWithOneWhoIsAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	for range 2 {
		unlock, err := filelock.Try(path, filelock.Shared)
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
	}
	if _, err := filelock.Try(path, filelock.Exclusive); err == nil || err.Error() != "held by another process" {
		t.Errorf("exclusive beside shared: %v", err)
	}
}
