// Package proc runs other programs so that no process they start is left behind.
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

// grace is how long a program may take to exit after SIGTERM.
const grace = 10 * time.Second

// Group runs a command made by exec.CommandContext in its own process group, which
// is terminated when the context is done. A Ctrl-C in a terminal then acts only
// through the context, and also ends the program's children.
func Group(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = grace
}

// Start is like cmd.Start, but the program is killed when this process exits for any
// reason. Linux sends that signal when the thread that started the program exits, so
// that thread waits until the program has exited.
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
		if err == nil { // WNOWAIT leaves the exit status to cmd.Wait
			for unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
			}
		}
	}()
	return <-started
}

// Run is like cmd.Run, but in its own process group. ctx must be the command's
// context. The error is the context's cause if it is done, or else contains the last
// lines of output, unless the command redirects its output.
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

// LastLines returns the last n lines of a text that are not blank.
func LastLines(text string, n int) []string {
	var lines []string
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	return lines[max(0, len(lines)-n):]
}
