// Command probe runs inside a booted container, as the command of its /init, and
// runs the smoke test. It prints one line for each result and exits with 0 only
// if every check passed. It uses nothing of the container's userland but the
// Python whose packages it lists, so it runs natively even if the container is
// emulated. A browser in a container beside it renders the pages; the probe
// fetches them for it, because that container cannot reach this one.
//
// As the hook of /init, it stays beside the services from before the first one
// and reports each that ends: see watch.go.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/smoke"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) > 1 && os.Args[1] == watching {
		watch(ctx, services, os.Stdout)
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "-watch" {
		os.Exit(startWatch(os.Args[0], os.Args[2:], os.Stdout, os.Stderr))
	}
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// run asks everything and returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("probe", flag.ContinueOnError)
	flags.SetOutput(stderr)
	env := func(name, otherwise string) string {
		if v := getenv(name); v != "" {
			return v
		}
		return otherwise
	}
	var (
		address   = flags.String("address", "127.0.0.1:8000", "`host:port` NetBox listens on")
		host      = flags.String("host", admitted(getenv("ALLOWED_HOST")), "host `name` NetBox is known by; default from ALLOWED_HOST")
		basePath  = flags.String("base-path", getenv("BASE_PATH"), "`path` NetBox is served under; default from BASE_PATH")
		version   = flags.String("version", "", "NetBox `release` that must answer; required")
		user      = flags.String("user", "admin", "`name` of the superuser, whose password is SUPERUSER_PASSWORD")
		uid       = flags.String("uid", env("PUID", "911"), "user `id` that NetBox runs as; default from PUID")
		config    = flags.String("config", "/config", "`directory` that persists")
		secrets   = flags.String("secrets", "/config/keys/*", "`pattern` of the files that hold secrets")
		python    = flags.String("python", "/lsiopy/bin/python", "`program` that runs NetBox")
		chromium  = flags.String("browser", "", "`host:port` at which a Chromium is debugged")
		pictures  = flags.String("pictures", filepath.Dir(smoke.Picture("see-login")), "`directory` that takes the pictures of pages")
		ready     = flags.Duration("ready", time.Minute, "limit for the first 200 of the log-in page")
		slowness  = flags.Float64("slowness", 1, "`factor` that all limits are stretched by")
		terminate = flags.Bool("then-terminate", false, "after success, send SIGTERM to PID 1 and wait for the end")
	)
	if err := flags.Parse(args); err != nil {
		return 2
	}
	id, err := strconv.Atoi(*uid)
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "probe: user id %q is not a number; set PUID or -uid\n", *uid)
		return 2
	case *version == "":
		fmt.Fprintln(stderr, "probe: no release to expect; set -version")
		return 2
	case getenv("SUPERUSER_PASSWORD") == "":
		fmt.Fprintln(stderr, "probe: SUPERUSER_PASSWORD is not in the environment; run the probe through with-contenv")
		return 2
	case *slowness <= 0:
		fmt.Fprintln(stderr, "probe: -slowness must be above 0")
		return 2
	}

	pace := pace{slowness: *slowness, ready: *ready}
	web := newClient(*address, *host, pace.stretch(requestLimit))
	p := &probe{
		life:     ctx,
		window:   &window{browser: *chromium, pictures: *pictures, through: web.http.Transport},
		pace:     pace,
		web:      web,
		root:     "/" + strings.TrimPrefix(strings.Trim(*basePath, "/")+"/", "/"),
		version:  *version,
		user:     *user,
		password: getenv("SUPERUSER_PASSWORD"),
		uid:      id,
		config:   *config,
		secrets:  *secrets,
		python:   *python,
		proc:     "/proc",
		services: services,
		self:     os.Getpid(),
	}
	summary := p.ask(ctx, stdout)
	p.window.shut()
	if err := smoke.WriteSummary(stdout, summary); err != nil || summary.Failed > 0 {
		return 1
	}
	if !*terminate {
		return 0
	}
	if err := smoke.WriteTerminating(stdout, time.Now()); err != nil {
		return 1
	}
	if err := syscall.Kill(1, syscall.SIGTERM); err != nil {
		fmt.Fprintf(stderr, "probe: sending SIGTERM to PID 1: %v\n", err)
		return 1
	}
	// An orderly stop ends this process too.
	limit := pace.stretch(stopLimit)
	select {
	case <-ctx.Done():
	case <-time.After(limit):
		fmt.Fprintf(stderr, "probe: PID 1 did not stop the container within %s of SIGTERM; look at which service does not stop\n", limit)
	}
	return 1
}

// admitted returns a name that a value of ALLOWED_HOST lets in.
func admitted(allowed string) string {
	for name := range strings.FieldsFuncSeq(allowed, func(r rune) bool { return r == ',' || r == ' ' }) {
		if !strings.Contains(name, "*") {
			return strings.TrimPrefix(name, ".")
		}
	}
	return "localhost"
}
