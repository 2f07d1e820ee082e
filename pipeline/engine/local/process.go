package local

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Signal sends a signal to the container's first process.
func (c *Container) Signal(sig unix.Signal) error {
	pid, err := c.PID()
	if err == nil {
		err = unix.Kill(pid, sig)
	}
	if err != nil {
		return fmt.Errorf("sending %s to container %s: %w", unix.SignalName(sig), c.spec.Name, err)
	}
	return nil
}

// Kill kills the container's first process; the kernel then kills the others.
func (c *Container) Kill() error { return c.Signal(unix.SIGKILL) }

// Stop sends SIGTERM, waits for StopGrace, then kills; it returns the exit code.
func (c *Container) Stop(ctx context.Context) (int, error) {
	_ = c.Signal(unix.SIGTERM) // fails when it has exited
	select {
	case <-c.done:
		return c.code, c.fail
	case <-ctx.Done():
	case <-time.After(cmp.Or(c.spec.StopGrace, defaultGrace)):
	}
	_ = c.Kill()
	return c.Wait(ctx)
}

// Process is a process of a container.
type Process struct {
	PID     int // on this machine
	Inside  int // PID in the container
	UID     int
	State   string // as in /proc: R, S, Z, …
	Command string // its command line, or its name when it has none
}

// PID returns the PID of the container's first process on this machine.
func (c *Container) PID() (int, error) {
	for _, p := range c.Processes() {
		if p.Inside == 1 {
			return p.PID, nil
		}
	}
	return 0, fmt.Errorf("container %s has no first process: %w", c.spec.Name, unix.ESRCH)
}

// Processes lists the processes of the container.
func (c *Container) Processes() []Process {
	entries, _ := os.ReadDir("/proc")
	var found []Process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		dir := filepath.Join("/proc", entry.Name())
		if cgroups, err := os.ReadFile(filepath.Join(dir, "cgroup")); err != nil || !bytes.Contains(cgroups, []byte(filepath.Join(cgroupTop, c.id)+"/")) {
			continue
		}
		if p, ok := readProcess(pid, dir); ok {
			found = append(found, p)
		}
	}
	return found
}

func readProcess(pid int, dir string) (Process, bool) {
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return Process{}, false
	}
	p := Process{PID: pid}
	levels := 0
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		f := strings.Fields(value)
		if len(f) == 0 {
			continue
		}
		switch key {
		case "Name":
			p.Command = f[0]
		case "State":
			p.State = f[0]
		case "Uid":
			p.UID, _ = strconv.Atoi(f[1])
		case "NSpid":
			p.Inside, _ = strconv.Atoi(f[len(f)-1])
			levels = len(f)
		}
	}
	if cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil && len(cmdline) > 0 {
		p.Command = strings.TrimSpace(string(bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '})))
	}
	// Fewer levels: runc before it enters the container's PID namespace.
	return p, levels > 2 || p.State == "Z"
}
