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

// What a whole check takes, 6.5 GB when measured: of disk, or of memory where the cache
// lies there. The rest of the cache is what is kept beside the engine's:
// packages of the base images, tools.
const (
	needFirst = 8 << 30 // with nothing in the cache, one platform or two
	needAgain = 3 << 30 // after a change of the image
	needRest  = 2 << 30 // of needFirst, what no overlay is made of
)

// watchSpace says before anything starts that the disk may not do, and watches
// it from then on. It is no more than a line: a change may take less.
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

// space is the least that was free on the disks that the engine writes to:
// what failed on a full disk removes what it wrote before anyone can look.
type space struct {
	mu    sync.Mutex
	dir   string // empty before the first look
	free  int64
	total int64
	stop  context.CancelFunc // nil when nobody watches
}

// watch looks from now on until the engine is closed.
func (s *space) watch(dirs []string) {
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	go func() {
		for ticks := time.Tick(100 * time.Millisecond); ctx.Err() == nil; <-ticks {
			s.look(dirs)
		}
	}()
}

func (s *space) close() {
	if s.stop != nil {
		s.stop()
	}
}

func (s *space) look(dirs []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, dir := range dirs {
		if free, total, err := freeSpace(dir); err == nil && (s.dir == "" || free < s.free) {
			s.dir, s.free, s.total = dir, free, total
		}
	}
}

func (e *Engine) disks() []string { return []string{e.opts.Cache, e.dirs.state, os.TempDir()} }

// Full explains an error by a full disk, where it is one: in the words of
// whichever program met it first it may read like anything else. Otherwise it
// is nil.
func (e *Engine) Full(err error) error {
	if err == nil {
		return nil
	}
	e.space.look(e.disks())
	e.space.mu.Lock()
	defer e.space.mu.Unlock()
	if e.space.free >= 64<<20 && !strings.Contains(strings.ToLower(err.Error()), unix.ENOSPC.Error()) {
		return nil
	}
	return failure.Usagef("the disk was full: %s had %s free of %s: make room, for example with go run ./ci clean --cache, or name another directory with XDG_CACHE_HOME, and run it again",
		e.space.dir, size(e.space.free), size(e.space.total))
}

// freeSpace is what a directory's file system has free, and its size.
func freeSpace(dir string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("asking for the free space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Blocks) * int64(st.Bsize), nil
}

// availableMemory is what programs can have without swapping.
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
