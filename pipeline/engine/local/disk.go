package local

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// What a whole check takes, measured: of disk, or of memory where the cache
// lies there. The rest of the cache is what is kept beside the engine's:
// packages of the base images, tools.
const (
	needFirst = 8 << 30 // with nothing in the cache, one platform or two
	needAgain = 3 << 30 // after a change of the image
	needRest  = 2 << 30 // of needFirst, what no overlay is made of
)

// warnOfSpace says before anything starts that the disk may not do. It is no
// more than a line: a change may take less.
func (e *Engine) warnOfSpace(log io.Writer) error {
	free, _, err := freeSpace(e.opts.Cache)
	if err != nil {
		return err
	}
	need, when := int64(needFirst), "the first run"
	if isDir(filepath.Join(e.dirs.state, "root")) {
		need, when = needAgain, "a run"
	}
	if free < need {
		fmt.Fprintf(log, "disk: %s has %s free, and %s takes up to %s: if it does not do, make room or name another directory with XDG_CACHE_HOME\n",
			e.opts.Cache, size(free), when, size(need))
	}
	return nil
}

// Full explains an error by a full disk, where it is one: in the words of
// whichever program met it first it may read like anything else. Otherwise it
// is nil.
func (e *Engine) Full(err error) error {
	if err == nil {
		return nil
	}
	fullest, left, of := "", int64(1<<62), int64(0)
	for _, dir := range []string{e.opts.Cache, e.dirs.state, os.TempDir()} {
		if free, total, err := freeSpace(dir); err == nil && free < left {
			fullest, left, of = dir, free, total
		}
	}
	if left >= 64<<20 && !strings.Contains(strings.ToLower(err.Error()), unix.ENOSPC.Error()) {
		return nil
	}
	return failure.Usagef("the disk is full: %s has %s free of %s: make room, for example with go run ./ci clean --cache, or name another directory with XDG_CACHE_HOME, and run it again",
		fullest, size(left), size(of))
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
