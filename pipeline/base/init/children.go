package main

import (
	"errors"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// children starts processes and collects every child that ends, orphans that
// the kernel hands to PID 1 included. os/exec cannot share a process with
// that, so nothing here uses it.
type children struct {
	mu      sync.Mutex
	running map[int]chan syscall.WaitStatus
	null    *os.File
}

func newChildren() *children {
	null, err := os.Open(os.DevNull)
	if err != nil {
		null = os.Stdin // a container without /dev/null has other worries
	}
	c := &children{running: map[int]chan syscall.WaitStatus{}, null: null}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		for range ended {
			c.collect()
		}
	}()
	return c
}

func (c *children) collect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if done, ok := c.running[pid]; ok {
			delete(c.running, pid)
			done <- status
		}
	}
}

// command is a process to start.
type command struct {
	argv  []string
	env   []string
	dir   string
	stdin *os.File // nil: /dev/null
}

// process is one that was started. Its status comes once.
type process struct {
	pid  int
	done <-chan syscall.WaitStatus
}

// start runs a command, searching PATH in its own environment.
func (c *children) start(cmd command) (process, error) {
	path, err := lookPath(cmd.argv[0], cmd.env)
	if err != nil {
		return process{}, err
	}
	stdin := cmd.stdin
	if stdin == nil {
		stdin = c.null
	}
	// Held so that collect cannot meet the child before it is known.
	c.mu.Lock()
	defer c.mu.Unlock()
	pid, err := syscall.ForkExec(path, cmd.argv, &syscall.ProcAttr{
		Dir: cmd.dir, Env: cmd.env, Files: []uintptr{stdin.Fd(), 1, 2},
	})
	if err != nil {
		return process{}, err
	}
	done := make(chan syscall.WaitStatus, 1)
	c.running[pid] = done
	return process{pid, done}, nil
}

func exitCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// execStatus is the exit status for a program that could not be started.
func execStatus(err error) int {
	if errors.Is(err, syscall.ENOENT) {
		return 127
	}
	return 126
}

// lookPath finds a program as execvp does: the first executable file of that
// name, or else the error that says most.
func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	var found error = syscall.ENOENT
	for _, dir := range strings.Split(variable(env, "PATH"), ":") {
		path := dir + "/" + name
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
		found = syscall.EACCES
	}
	return "", found
}

func variable(env []string, name string) string {
	for _, entry := range env {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}
