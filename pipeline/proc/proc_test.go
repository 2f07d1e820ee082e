package proc_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/proc"
)

func TestAProgramThatFailsSaysWhyInItsLastLines(t *testing.T) {
	err := proc.Run(t.Context(), exec.CommandContext(t.Context(), "sh", "-c", "echo 1; echo 2 >&2; echo; echo 3; echo 4; exit 7"))
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 || !strings.HasSuffix(err.Error(), ": 2; 3; 4") || !strings.HasPrefix(err.Error(), "sh: ") {
		t.Errorf("got %v", err)
	}
	if err := proc.Run(t.Context(), exec.CommandContext(t.Context(), "sh", "-c", "echo quiet")); err != nil {
		t.Error(err)
	}
}

func TestWhatAProgramStartedEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", "sleep 600 & echo $!; wait")
	cmd.Stdout = w
	done := make(chan error, 1)
	go func() { done <- proc.Run(ctx, cmd) }()
	line := make([]byte, 32)
	n, err := r.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	w.Close()
	// The sleep holds the other end of the pipe until it exits.
	r.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadAll(r); err != nil {
		t.Errorf("process %d lives on: %v", pid, err)
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

func TestAProgramOutlivesTheThreadThatStartedIt(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sleep", "600")
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread exits with the goroutine
		started <- proc.Start(cmd)
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	select {
	case <-ended:
		t.Errorf("the program ended with its thread: %v", cmd.ProcessState)
	case <-time.After(time.Second):
		_ = cmd.Process.Kill()
		<-ended
	}
}
