package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/linuxserver/docker-netbox/pipeline/proc"
)

// imports loads the packages that are hard to build with the image's own Python.
func (p *probe) imports(t *checkRun) string {
	const program = "import ldap, django_auth_ldap.backend, PIL.Image, psycopg; PIL.Image.core; print(psycopg.pq.__impl__)"
	t.describe(p.python + " to import ldap, django_auth_ldap, PIL and psycopg")
	var out strings.Builder
	cmd := exec.CommandContext(t.ctx, p.python, "-c", program)
	cmd.Stdout = &out
	t.noError(proc.Run(t.ctx, cmd)) // the last line of a traceback names the exception
	impl := strings.TrimSpace(out.String())
	t.expect(impl == "c", "all of them, but psycopg's implementation is %q instead of \"c\"", impl)
	return "all of them, psycopg's implementation in C"
}

// secretFiles checks the owner and mode of the secrets.
func (p *probe) secretFiles(t *checkRun) string {
	t.describe("mode and owner of " + p.secrets)
	names, err := filepath.Glob(p.secrets)
	t.noError(err)
	t.expect(len(names) > 0, "no file at %s", p.secrets)
	for _, name := range names {
		info, err := os.Lstat(name)
		if t.noError(err) {
			t.expect(info.Mode() == 0o600 && owner(info) == p.uid, "%s is %s of user %d instead of -rw------- of user %d", name, info.Mode(), owner(info), p.uid)
		}
	}
	return fmt.Sprintf("0600 of user %d for all (%d)", p.uid, len(names))
}

// owner returns the id of the user that owns a file.
func owner(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }

// steady checks s6's record of service exits: s6 restarts a service after a second
// without logging it.
func (p *probe) steady(t *checkRun) string {
	t.describe("the deaths that s6 counted under " + p.services)
	byService, err := readExits(p.services)
	t.noError(err)
	t.expect(len(byService) > 0, "no supervised service")
	var exited []string
	for _, service := range slices.Sorted(maps.Keys(byService)) {
		if exits := byService[service]; len(exits) > 0 {
			exited = append(exited, fmt.Sprintf("%s ended and was started again, %d times, the last time it %s", service, len(exits), exits[len(exits)-1]))
		}
	}
	t.expect(len(exited) == 0, "%s", strings.Join(exited, "; "))
	return fmt.Sprintf("none of %d services", len(byService))
}

// readExits returns a description of each exit of each supervised service. It
// reads the records that s6-supervise keeps for s6-svdt: 12 bytes of time, the
// exit code, and the signal that killed the service.
func readExits(services string) (map[string][]string, error) {
	const recordSize = 14
	files, err := filepath.Glob(filepath.Join(services, "*", "supervise", "death_tally"))
	if err != nil {
		return nil, err
	}
	byService := map[string][]string{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if len(data)%recordSize != 0 {
			return nil, fmt.Errorf("%s has %d bytes, no multiple of %d", file, len(data), recordSize)
		}
		var exits []string
		for record := range slices.Chunk(data, recordSize) {
			how := fmt.Sprintf("ended with status %d", record[12])
			if record[13] != 0 {
				how = fmt.Sprintf("was killed by signal %d", record[13])
			}
			exits = append(exits, how)
		}
		byService[filepath.Base(filepath.Dir(filepath.Dir(file)))] = exits
	}
	return byService, nil
}

// process is a process as described in /proc.
type process struct {
	id, parent int
	name       string
	uids       []string // real, effective, saved, file system
	command    []string
}

// processes checks that only expected processes run as root: PID 1, s6's
// supervisors, the base image's cron service (which switches to each crontab's
// user), and what was started from outside: the probe, twice, and a health check.
func (p *probe) processes(t *checkRun) string {
	t.describe("the users of all processes")
	all, err := readProcesses(p.proc)
	t.noError(err)
	own := p.ancestry(all, p.self)
	asUser, roots := 0, []string{}
	for _, id := range slices.Sorted(maps.Keys(all)) {
		proc := all[id]
		if proc.uids[1] == strconv.Itoa(p.uid) {
			asUser++
		}
		if !slices.Contains(proc.uids, "0") || proc.isSupervisor() || proc.isWatcher(all[p.self]) || slices.Contains(own, id) {
			continue
		}
		above := p.ancestry(all, id)
		if slices.ContainsFunc(above, func(a int) bool {
			return a == p.self || all[a].parent == 0 && a != 1 || all[a].name == "s6-supervise" && slices.Contains(all[a].command, "svc-cron")
		}) {
			continue
		}
		roots = append(roots, fmt.Sprintf("%d (%s)", id, proc.name))
	}
	t.expect(len(roots) == 0, "root for %s", strings.Join(roots, ", "))
	t.expect(asUser > 0, "none of user %d, which NetBox should run as", p.uid)
	return fmt.Sprintf("%d of user %d, none of root but supervisors", asUser, p.uid)
}

// isSupervisor reports whether the process is part of the init system.
func (p process) isSupervisor() bool {
	return p.id == 1 || strings.HasPrefix(p.name, "s6-")
}

// isWatcher reports whether the process is the probe's watcher of services. Under
// emulation the kernel prepends qemu to its command, but not to the command that a
// process reads of itself.
func (p process) isWatcher(probe process) bool {
	last := len(p.command) - 1
	return last > 0 && p.command[last] == watcherArg && slices.Contains(p.command[:last], probe.command[0])
}

// ancestry returns the ids of a process and its ancestors.
func (p *probe) ancestry(all map[int]process, id int) (ids []int) {
	for {
		proc, known := all[id]
		if !known {
			return ids
		}
		ids = append(ids, id)
		id = proc.parent
	}
}

// readProcesses reads all processes, and skips those that exit meanwhile.
func readProcesses(root string) (map[int]process, error) {
	dirs, err := filepath.Glob(filepath.Join(root, "[1-9]*"))
	if err != nil {
		return nil, err
	}
	all := map[int]process{}
	for _, dir := range dirs {
		status, err := os.ReadFile(filepath.Join(dir, "status"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue
		}
		if err != nil {
			return nil, err
		}
		fields := map[string]string{}
		for line := range strings.Lines(string(status)) {
			key, value, _ := strings.Cut(line, ":")
			fields[key] = strings.TrimSpace(value)
		}
		id, err := strconv.Atoi(filepath.Base(dir))
		parent, parentErr := strconv.Atoi(fields["PPid"])
		uids := strings.Fields(fields["Uid"])
		if err != nil || parentErr != nil || len(uids) != 4 {
			return nil, fmt.Errorf("reading the process of %s: its parent is %q, its users are %q", dir, fields["PPid"], uids)
		}
		command, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // empty after its exit
		all[id] = process{id, parent, fields["Name"], uids, strings.Split(strings.TrimRight(string(command), "\x00"), "\x00")}
	}
	return all, nil
}
