// Package proc runs other programs so that nothing they start stays behind.
package proc

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// grace is how long a program may take to end after it was asked to.
const grace = 10 * time.Second

// Group puts a command made by exec.CommandContext into a process group of its
// own, which ends with the context: a terminal's Ctrl-C then comes by the
// context alone, and reaches what the program started too.
func Group(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = grace
}

// Start is cmd.Start for a program that is killed when this process ends, however
// it ends. Linux sends that signal at the end of the thread that started the
// program, so that thread waits for the program's end.
func Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil { // the program is left for cmd.Wait
			for unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
			}
		}
	}()
	return <-started
}

// Run is cmd.Run in a group of its own. The error is the cause of the end of
// ctx, which the command was made with, or holds the last lines that the program
// prints, unless the command sends them elsewhere.
func Run(ctx context.Context, cmd *exec.Cmd) error {
	var out bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &out
	}
	Group(cmd)
	err := cmd.Run()
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, strings.Join(LastLines(out.String(), 3), "; "))
	}
	return nil
}

// LastLines are the last n lines of a text that are not empty.
func LastLines(text string, n int) []string {
	var lines []string
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	return lines[max(0, len(lines)-n):]
}
