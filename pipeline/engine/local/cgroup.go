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
	// cgroupTop is the parent of one cgroup for each container, and runc's cgroup is
	// inside that: runc removes its own at the exit, together with the statistics.
	cgroupTop = "docker-netbox"
)

// hierarchies returns the mounted cgroup hierarchies: the unified one, or those of
// version 1.
func hierarchies(mount string) (dirs []string) {
	for _, pattern := range []string{"cgroup.procs", "*/cgroup.procs"} {
		found, _ := filepath.Glob(filepath.Join(mount, pattern))
		for _, file := range found {
			dirs = append(dirs, filepath.Dir(file))
		}
		if len(dirs) > 0 {
			break // the directories below the unified hierarchy are its cgroups
		}
	}
	return dirs
}

// cgroupDirs returns the directories of a cgroup below cgroupTop, one for each
// hierarchy. The name may have wildcards.
func cgroupDirs(name string) (dirs []string) {
	for _, hierarchy := range hierarchies(cgroupMount) {
		found, _ := filepath.Glob(filepath.Join(hierarchy, cgroupTop, name)) // fails only for a bad pattern
		dirs = append(dirs, found...)
	}
	return dirs
}

// removeStaleCgroups removes the empty cgroups of processes that no longer exist:
// they remain if the first process of a namespace was killed as well.
func removeStaleCgroups() {
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

// raiseWeight sets a cgroup's CPU weight to three times the default. It does
// nothing on a kernel that does not schedule by cgroup and so lacks the file.
func raiseWeight(name string) {
	for _, dir := range cgroupDirs(name) {
		for file, share := range map[string]string{"cpu.weight": "300", "cpu.shares": "3072"} {
			if f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0); err == nil {
				_, _ = f.WriteString(share) // if this fails, the boot only takes longer
				f.Close()
			}
		}
	}
}

// peakMemory returns a cgroup's peak memory in bytes, page cache included, or 0
// when the kernel does not report it.
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
