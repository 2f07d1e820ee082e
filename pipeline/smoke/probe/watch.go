package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/smoke"
)

const (
	services   = "/run/service" // the directory that s6 supervises
	watcherArg = "-watching"    // the argument of the watcher process
	interval   = 200 * time.Millisecond
)

// startWatcher starts a process that watches the services, then executes the image's
// hook, if any.
func startWatcher(self string, hook []string, stdout *os.File, stderr io.Writer) int {
	cmd := exec.Command(self, watcherArg)
	cmd.Stdout = stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(stderr, "probe: watch the services: %v\n", err)
		return 1
	}
	if len(hook) == 0 {
		return 0
	}
	path, err := exec.LookPath(hook[0])
	if err == nil {
		err = syscall.Exec(path, hook, os.Environ())
	}
	fmt.Fprintf(stderr, "probe: run the hook %s: %v\n", hook[0], err)
	return 127
}

// watch reports each exit of a service. s6 restarts a service after a second and
// logs neither. The SIGTERM at the container's stop terminates the watcher.
func watch(ctx context.Context, services string, out io.Writer) {
	known := map[string]int{}
	for ctx.Err() == nil {
		byService, _ := readExits(services) // a record that is being written is read in the next round
		for service, exits := range byService {
			for ; known[service] < len(exits); known[service]++ {
				n := known[service]
				exit := smoke.Exit{Service: service, Count: n + 1, How: exits[n]}
				if (smoke.Message{Exit: &exit}).Write(out) != nil {
					return
				}
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(interval):
		}
	}
}
