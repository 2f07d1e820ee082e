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

// carries is the variable that distinguishes the dagger command of one session from
// those of others.
const carries = "DOCKER_NETBOX_SESSION"

// dial opens a session. disconnect ends it, whatever became of the engine.
func (o Options) dial(ctx context.Context, log io.Writer) (client *dagger.Client, disconnect func(), err error) {
	mark := rand.Text()
	client, err = o.Connect(ctx, log, dagger.WithEnvironmentVariable(carries, mark))
	if err != nil {
		return nil, nil, err
	}
	return client, func() {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = client.Close() // its end by being cancelled is no news
		}()
		select {
		case <-ended:
		case <-time.After(o.Disconnect):
			// The command waits for an engine that is gone, and ignores SIGTERM.
			killWith(carries + "=" + mark)
			<-ended
		}
	}, nil
}

// killWith kills the processes whose environment has an assignment.
func killWith(assignment string) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		environ, _ := os.ReadFile(file) // fails when it has ended
		if !slices.Contains(strings.Split(string(environ), "\x00"), assignment) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			if process, err := os.FindProcess(pid); err == nil {
				_ = process.Kill() // it may have ended by itself
			}
		}
	}
}
