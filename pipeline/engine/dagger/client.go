package dagger

import (
	"context"
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"dagger.io/dagger"
)

// sessionVariable is the environment variable that identifies a session's dagger command.
const sessionVariable = "DOCKER_NETBOX_SESSION"

// openClient opens a session. disconnect ends it, even if the engine is gone.
func (o Options) openClient(ctx context.Context, log io.Writer) (client *dagger.Client, disconnect func(), err error) {
	id := rand.Text()
	client, err = o.Connect(ctx, log, dagger.WithEnvironmentVariable(sessionVariable, id))
	if err != nil {
		return nil, nil, err
	}
	return client, func() {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = client.Close() // fails if the session was cancelled, which is expected
		}()
		select {
		case <-ended:
		case <-time.After(o.Disconnect):
			// The command keeps waiting for an engine that is gone, and ignores SIGTERM.
			killByEnvironment(sessionVariable + "=" + id)
			<-ended
		}
	}, nil
}

// killByEnvironment kills the processes whose environment contains an assignment.
func killByEnvironment(assignment string) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		environ, _ := os.ReadFile(file) // fails if the process has exited
		if !slices.Contains(strings.Split(string(environ), "\x00"), assignment) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			if process, err := os.FindProcess(pid); err == nil {
				_ = process.Kill() // it may have exited by itself
			}
		}
	}
}
