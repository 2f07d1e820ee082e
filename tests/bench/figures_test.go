package bench

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// memory holds the memory that the kernel charges to a container, in MB: that of
// its processes, the total with the page cache, and the peak of the total.
type memory struct{ held, all, peak float64 }

func (s *scene) memory(server server) memory {
	s.tb.Helper()
	if dir := s.cgroup(server, "memory"); dir != "" {
		return memory{number(s.tb, dir, "memory.stat", "total_rss") / 1e6, number(s.tb, dir, "memory.usage_in_bytes", "") / 1e6,
			number(s.tb, dir, "memory.max_usage_in_bytes", "") / 1e6}
	}
	dir := s.cgroup(server, "")
	return memory{number(s.tb, dir, "memory.stat", "anon") / 1e6, number(s.tb, dir, "memory.current", "") / 1e6, number(s.tb, dir, "memory.peak", "") / 1e6}
}

// process describes a process of a container: its proportional set size (PSS) in
// MB, and the anonymous part of it.
type process struct {
	command        string // name and command line
	pss, anonymous float64
}

// processes lists the processes of a server, the largest first.
func (s *scene) processes(server server) (all []process) {
	s.tb.Helper()
	dir := s.cgroup(server, "memory")
	if dir == "" {
		dir = s.cgroup(server, "")
	}
	pids, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		s.tb.Fatal(err)
	}
	for _, pid := range strings.Fields(string(pids)) {
		name, _ := os.ReadFile(filepath.Join("/proc", pid, "comm"))
		command, _ := os.ReadFile(filepath.Join("/proc", pid, "cmdline"))
		rollup, err := os.ReadFile(filepath.Join("/proc", pid, "smaps_rollup"))
		if err != nil {
			continue // it has exited
		}
		p := process{command: fmt.Sprintf("%s: %.90s", strings.TrimSpace(string(name)), strings.ReplaceAll(strings.TrimRight(string(command), "\x00"), "\x00", " "))}
		for line := range strings.Lines(string(rollup)) {
			var kB float64
			switch name, value, _ := strings.Cut(line, ":"); name {
			case "Pss":
				fmt.Sscan(value, &kB)
				p.pss = kB * 1024 / 1e6
			case "Pss_Anon":
				fmt.Sscan(value, &kB)
				p.anonymous = kB * 1024 / 1e6
			}
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b process) int { return cmp.Compare(b.pss, a.pss) })
	return all
}

// cpu returns the processor time used by a server, in seconds.
func (s *scene) cpu(server server) float64 {
	s.tb.Helper()
	if dir := s.cgroup(server, "cpuacct"); dir != "" {
		return number(s.tb, dir, "cpuacct.usage", "") / 1e9
	}
	return number(s.tb, s.cgroup(server, ""), "cpu.stat", "usage_usec") / 1e6
}

// cgroup returns the directory of a server in the hierarchy of a cgroup v1
// controller, or "" if there is none. Without a controller it is that of cgroup v2.
func (s *scene) cgroup(server server, controller string) string {
	s.tb.Helper()
	pid, err := s.servers[server.name].PID()
	if err != nil {
		s.tb.Fatal(err)
	}
	cgroups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		s.tb.Fatal(err)
	}
	for line := range strings.Lines(string(cgroups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 && slices.Contains(strings.Split(parts[1], ","), controller) {
			return filepath.Join("/sys/fs/cgroup", parts[1], parts[2])
		}
	}
	return ""
}

// number reads a value of a cgroup. A file with several values needs its key.
func number(tb testing.TB, dir, file, key string) float64 {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if key == "" || fields[0] == key {
			n, err := strconv.ParseInt(fields[len(fields)-1], 10, 64)
			if err != nil {
				tb.Fatal(err)
			}
			return float64(n)
		}
	}
	tb.Fatalf("%s has no %s", file, key)
	return 0
}

func median(of []figures, figure func(i int) float64) float64 {
	var all []float64
	for i := range of {
		all = append(all, figure(i))
	}
	slices.Sort(all)
	return all[len(all)/2]
}
