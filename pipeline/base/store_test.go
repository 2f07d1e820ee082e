package base

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/linuxserver/docker-netbox/pipeline/filelock"
	"github.com/linuxserver/docker-netbox/pipeline/outdir/outdirtest"
)

const testKey = "0123456789abcdef0123456789abcdef"

func TestConcurrentCallersBuildAnEntryOnce(t *testing.T) {
	s := store{dir: t.TempDir(), wait: time.Minute}
	var made atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			dir, err := s.get(t.Context(), "kind", testKey, func(_ context.Context, to layout.Path) error {
				made.Add(1)
				time.Sleep(50 * time.Millisecond)
				return os.WriteFile(filepath.Join(string(to), "done"), nil, 0o644)
			})
			if err != nil {
				t.Error(err)
			} else if _, err := os.Stat(filepath.Join(dir, "done")); err != nil {
				t.Errorf("an unfinished entry was handed out: %v", err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 {
		t.Errorf("it was made %d times", made.Load())
	}
}

func TestAFailedBuildLeavesNothingInTheCache(t *testing.T) {
	s := store{dir: t.TempDir(), wait: time.Minute}
	broken := errors.New("broken")
	if _, err := s.get(t.Context(), "kind", testKey, func(_ context.Context, to layout.Path) error {
		os.WriteFile(filepath.Join(string(to), "half"), nil, 0o644)
		return broken
	}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir, "kind-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := s.get(t.Context(), "kind", testKey, func(context.Context, layout.Path) error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestFilesOfAKilledProcessAreRemoved(t *testing.T) {
	s := store{dir: t.TempDir(), wait: time.Minute}
	stale := filepath.Join(s.dir, "kind-"+testKey[:16]+".part", "stale")
	if err := os.MkdirAll(stale, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := s.get(t.Context(), "kind", testKey, func(context.Context, layout.Path) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "stale")); err == nil {
		t.Error("a stale file is part of the new entry")
	}
}

func TestWaitingForAnotherProcessEndsWithTheContext(t *testing.T) {
	var log strings.Builder
	s := store{dir: t.TempDir(), log: &log, wait: time.Minute}
	unlock, err := filelock.Try(filepath.Join(s.dir, "locks", "kind-"+testKey[:16]), filelock.Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.get(ctx, "kind", testKey, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	if strings.Count(log.String(), "waiting for another process") != 1 {
		t.Errorf("the log says %q", log.String())
	}
}

func TestEntriesUnusedForALongTimeAreRemoved(t *testing.T) {
	s := store{dir: t.TempDir(), wait: time.Minute}
	long := time.Now().Add(-2 * maxUnused)
	for _, name := range []string{"kind-old", "kind-used", "other-old"} {
		if err := os.Mkdir(filepath.Join(s.dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"kind-old", "other-old"} {
		if err := os.Chtimes(filepath.Join(s.dir, name), long, long); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.get(t.Context(), "kind", testKey, func(context.Context, layout.Path) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"kind-old": false, "kind-used": true, "other-old": true} {
		if _, err := os.Stat(filepath.Join(s.dir, name)); (err == nil) != want {
			t.Errorf("%s is there: %v", name, err == nil)
		}
	}
}

// One base is used every day, and a new one is added each day.
func TestTheNumberOfEntriesIsBounded(t *testing.T) {
	s := store{dir: t.TempDir(), wait: time.Minute}
	const day = 24 * time.Hour
	used := 0
	for v := range 60 {
		for _, key := range []string{testKey, fmt.Sprintf("%016d", v)} {
			if _, err := s.get(t.Context(), "kind", key, func(context.Context, layout.Path) error {
				if key == testKey {
					used++
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		left := slices.DeleteFunc(outdirtest.Age(t, s.dir, day), func(name string) bool { return name == "locks" })
		if len(left) > 1+int(maxUnused/day) {
			t.Fatalf("after %d days, %d entries are left: %q", v+1, len(left), left)
		}
	}
	if used != 1 {
		t.Errorf("the entry that is used every day was made %d times", used)
	}
}
