// Command probe runs the smoke test inside a booted container, as the command of
// its /init. It prints one line for each result and, if every check passed, stops
// the container with a SIGTERM to PID 1. It uses nothing of the container's
// userland except Python, so it runs natively even if the container is emulated.
// A browser in another container renders the pages; the probe fetches them for
// it, because that container cannot reach this one.
//
// As the hook of /init, it starts before the first service and reports each
// service that exits: see watch.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/smoke"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) > 1 && os.Args[1] == watcherArg {
		watch(ctx, services, os.Stdout)
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "-watch" {
		os.Exit(startWatcher(os.Args[0], os.Args[2:], os.Stdout, os.Stderr))
	}
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// run runs all checks, stops the container if they pass, and returns the exit
// code.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	p, err := newProbe(args, getenv)
	if err != nil {
		fmt.Fprintf(stderr, "probe: %v\n", err)
		return 2
	}
	return p.run(ctx, stdout, stderr)
}

// newProbe returns the probe of a container that was set up with smoke.Env and
// smoke.Command.
func newProbe(args []string, getenv func(string) string) (*probe, error) {
	p := &probe{
		user:     "admin",
		password: getenv("SUPERUSER_PASSWORD"),
		bearer:   getenv("SUPERUSER_API_TOKEN"),
		config:   "/config",
		secrets:  "/config/keys/*",
		python:   "/lsiopy/bin/python",
		proc:     "/proc",
		services: services,
		self:     os.Getpid(),
	}
	flags := flag.NewFlagSet("probe", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&p.version, "version", "", "NetBox `release` that must answer")
	flags.StringVar(&p.browser, "browser", "", "`host:port` at which a Chromium is debugged")
	flags.Float64Var((*float64)(&p.slowness), "slowness", 1, "`factor` that all limits are stretched by")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	var err error
	p.uid, err = strconv.Atoi(getenv("PUID"))
	switch {
	case p.version == "":
		return nil, errors.New("no release to expect; set -version")
	case p.password == "" || p.bearer == "":
		return nil, errors.New("SUPERUSER_PASSWORD or SUPERUSER_API_TOKEN is not in the environment; run the probe through with-contenv")
	case err != nil:
		return nil, fmt.Errorf("user id %q is not a number; set PUID", getenv("PUID"))
	case p.slowness <= 0:
		return nil, errors.New("-slowness must be above 0")
	}
	p.web = newClient("127.0.0.1:8000", getenv("ALLOWED_HOST"), p.slowness.requestTimeout())
	return p, nil
}

func (p *probe) run(ctx context.Context, stdout, stderr io.Writer) int {
	summary := p.runChecks(ctx, stdout)
	if p.closeTab != nil { // its page must not send requests to a NetBox that is stopping
		p.closeTab()
	}
	p.web.http.CloseIdleConnections() // nginx waits for open connections without a request
	if err := (smoke.Message{Summary: &summary}).Write(stdout); err != nil || summary.Failed > 0 {
		return 1
	}
	if err := (smoke.Message{StopTime: new(time.Now())}).Write(stdout); err != nil {
		return 1
	}
	if err := syscall.Kill(1, syscall.SIGTERM); err != nil {
		fmt.Fprintf(stderr, "probe: sending SIGTERM to PID 1: %v\n", err)
		return 1
	}
	// A clean stop terminates this process too.
	limit := p.slowness.scale(stopLimit)
	select {
	case <-ctx.Done():
	case <-time.After(limit):
		fmt.Fprintf(stderr, "probe: PID 1 did not stop the container within %s of SIGTERM; look at which service does not stop\n", limit)
	}
	return 1
}
