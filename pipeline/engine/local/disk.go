package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// The space that a complete check needs (6.5 GB when measured), on disk, or in
// memory if the cache is there. The rest of the cache are the files that are not
// the engine's: packages of the base images and tools.
const (
	needFirst = 8 << 30 // with an empty cache, for one or two platforms
	needAgain = 3 << 30 // after a change of the image
	needRest  = 2 << 30 // the part of needFirst that is not in overlays
)

// watchSpace warns if the disk may be too small, and watches its free space from
// then on. It only prints a line, since a small change may need less.
func (e *Engine) watchSpace(log io.Writer) error {
	free, _, err := freeSpace(e.opts.Cache)
	if err != nil {
		return err
	}
	need, when := int64(needFirst), "the first run"
	if isDir(filepath.Join(e.dirs.state, "root")) {
		need, when = needAgain, "a run"
	}
	if free < need {
		fmt.Fprintf(log, "disk: %s has %s free, and %s takes up to %s: make room, or name another directory with XDG_CACHE_HOME\n",
			e.opts.Cache, size(free), when, size(need))
	}
	e.space.watch(e.disks())
	return nil
}

// space records the minimum free space of the disks that the engine writes to:
// a program that fails on a full disk may remove its files before it can be seen.
type space struct {
	mu    sync.Mutex
	dir   string // empty before the first sample
	free  int64
	total int64
	stop  context.CancelFunc // nil when it is not watched
}

// watch samples the free space until the engine is closed.
func (s *space) watch(dirs []string) {
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	go func() {
		for ticks := time.Tick(100 * time.Millisecond); ctx.Err() == nil; <-ticks {
			s.sample(dirs)
		}
	}()
}

func (s *space) close() {
	if s.stop != nil {
		s.stop()
	}
}

func (s *space) sample(dirs []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, dir := range dirs {
		if free, total, err := freeSpace(dir); err == nil && (s.dir == "" || free < s.free) {
			s.dir, s.free, s.total = dir, free, total
		}
	}
}

func (e *Engine) disks() []string { return []string{e.opts.Cache, e.dirs.state, os.TempDir()} }

// Full returns an error about the full disk if that caused err, and nil otherwise.
// The error of the program that failed first may not mention the disk at all.
func (e *Engine) Full(err error) error {
	if err == nil {
		return nil
	}
	e.space.sample(e.disks())
	e.space.mu.Lock()
	defer e.space.mu.Unlock()
	if e.space.free >= 64<<20 && !strings.Contains(strings.ToLower(err.Error()), unix.ENOSPC.Error()) {
		return nil
	}
	return failure.Usagef("the disk was full: %s had %s free of %s: make room, for example with go run ./ci clean --cache, or name another directory with XDG_CACHE_HOME, and run it again",
		e.space.dir, size(e.space.free), size(e.space.total))
}

// freeSpace returns the free space of a directory's file system, and its size.
func freeSpace(dir string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("asking for the free space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Blocks) * int64(st.Bsize), nil
}

// availableMemory returns how much memory programs can use without swapping.
func availableMemory() (int64, error) {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &kb); err == nil {
			return kb << 10, nil
		}
	}
	return 0, errors.New("reading /proc/meminfo: it has no MemAvailable")
}

func size(bytes int64) string { return fmt.Sprintf("%.1f GB", float64(bytes)/1e9) }
