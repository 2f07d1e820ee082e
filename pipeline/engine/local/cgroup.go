package local

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	cgroupMount = "/sys/fs/cgroup"
	// cgroupTop holds one directory a container, and that one runc's: runc
	// removes its own at the end, with the figures in it.
	cgroupTop = "docker-netbox"
)

// hierarchies are the control group file systems that are mounted: the unified
// one, or those of version 1.
func hierarchies(mount string) (dirs []string) {
	for _, pattern := range []string{"cgroup.procs", "*/cgroup.procs"} {
		found, _ := filepath.Glob(filepath.Join(mount, pattern))
		for _, file := range found {
			dirs = append(dirs, filepath.Dir(file))
		}
		if len(dirs) > 0 {
			break // what lies beneath the unified one are its groups
		}
	}
	return dirs
}

// cgroupDirs finds a cgroup below cgroupTop in each hierarchy. The name may have
// wildcards.
func cgroupDirs(name string) (dirs []string) {
	for _, hierarchy := range hierarchies(cgroupMount) {
		found, _ := filepath.Glob(filepath.Join(hierarchy, cgroupTop, name)) // fails for a bad pattern only
		dirs = append(dirs, found...)
	}
	return dirs
}

// sweepDead removes the empty cgroups of processes that are no more: of those
// that were killed together with the first process of a namespace.
func sweepDead() {
	for _, dir := range cgroupDirs("*-*") {
		pid, _, _ := strings.Cut(filepath.Base(dir), "-")
		if n, err := strconv.Atoi(pid); err == nil && errors.Is(unix.Kill(n, 0), unix.ESRCH) {
			removeCgroup(dir)
		}
	}
}

func removeCgroup(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if entry.IsDir() {
			removeCgroup(filepath.Join(dir, entry.Name()))
		}
	}
	_ = unix.Rmdir(dir)
}

// favour sets a cgroup's CPU weight to three times the default. A kernel that does
// not schedule by cgroup has no such file: nothing changes there.
func favour(name string) {
	for _, dir := range cgroupDirs(name) {
		for file, share := range map[string]string{"cpu.weight": "300", "cpu.shares": "3072"} {
			if f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0); err == nil {
				_, _ = f.WriteString(share) // if that fails, the boot only takes longer
				f.Close()
			}
		}
	}
}

// peakMemory reads the most memory, page cache included, that a cgroup held;
// 0 when the kernel does not show it.
func peakMemory(name string) int64 {
	for _, file := range []string{"memory.peak", "memory.max_usage_in_bytes"} {
		for _, dir := range cgroupDirs(name) {
			data, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				continue
			}
			if n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64); err == nil && n > 0 {
				return n
			}
		}
	}
	return 0
}
