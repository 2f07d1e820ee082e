package dagger

import (
	"context"
	"crypto/rand"
	"fmt"
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
			killChild(carries + "=" + mark)
			<-ended
		}
	}, nil
}

// killChild kills the child processes of this one whose environment has an
// assignment.
func killChild(assignment string) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		var state string
		var parent int
		_, after, _ := strings.Cut(string(stat), ") ") // a program's name may hold anything
		if _, err := fmt.Sscan(after, &state, &parent); err != nil || parent != os.Getpid() {
			continue
		}
		environ, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "environ"))
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil && slices.Contains(strings.Split(string(environ), "\x00"), assignment) {
			if process, err := os.FindProcess(pid); err == nil {
				_ = process.Kill() // it may have ended by itself
			}
		}
	}
}
