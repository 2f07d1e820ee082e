// Command mods is /docker-mods of the local base image: the hook that runs
// before the services are compiled. It lays the images named in DOCKER_MODS
// over the root file system, and makes a supervised service of each script in
// /custom-services.d. With neither it ends at once.
//
// A mod that cannot be had is reported and passed over, as in the published
// base: the container starts without it. In a container that was started as
// another user than root there are neither, since the root file system cannot
// be written.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// environment is where /init keeps the container's.
const environment = "run/s6/container_environment"

// patience is what all registries together get.
const patience = 5 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		for _, name := range []string{name, strings.ToLower(name)} {
			if value := variable(name); value != "" {
				os.Setenv(name, value) // net/http looks for it there
			}
		}
	}
	h := hook{root: "/", user: os.Geteuid(), mods: variable("DOCKER_MODS"), transport: remote.DefaultTransport, log: os.Stdout}
	if err := h.run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "[mod-init] %v\n", err)
		os.Exit(1)
	}
}

// hook is what is to be done to which root file system.
type hook struct {
	root      string
	user      int    // who does it
	mods      string // image references separated by |
	transport http.RoundTripper
	log       io.Writer
}

func (h hook) run(ctx context.Context) error {
	if h.user != 0 {
		h.say("[mod-init] running as user %d: docker mods and custom services are off, PUID and PGID have no effect", h.user)
		// Scripts of images look for it; with S6_KEEP_ENV there is no such directory.
		if err := os.WriteFile(h.path(environment, "LSIO_NON_ROOT_USER"), []byte("1"), 0o644); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	h.applyMods(ctx)
	return h.customServices()
}

func (h hook) path(elem ...string) string {
	return filepath.Join(append([]string{h.root}, elem...)...)
}

func (h hook) say(format string, args ...any) {
	fmt.Fprintf(h.log, format+"\n", args...)
}

// variable reads the environment, or what /init has kept of the container's:
// it starts the hook with little more than PATH.
func variable(name string) string {
	if v, ok := os.LookupEnv(name); ok {
		return v
	}
	v, _ := os.ReadFile(filepath.Join("/", environment, name)) // absent means unset
	return string(v)
}
