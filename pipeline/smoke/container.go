package smoke

import (
	"crypto/rand"
	"strconv"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/gotool"
)

// Probe is the probe of the repository at repoDir, to be compiled for
// linux/goarch: a static program.
func Probe(repoDir, goarch string) gotool.Program {
	return gotool.Program{
		Dir: repoDir, Files: []string{"go.mod", "go.sum", "pipeline"},
		Package: "./pipeline/smoke/probe", GOARCH: goarch,
	}
}

// Env is the environment, beside Secrets, that the container under test needs
// for the probe at that path to find what it expects. It has /init start the
// probe before any service, to report each service that ends, in the place of
// the image's own hook, which is run as before.
func Env(probe, hook string) map[string]string {
	return map[string]string{
		"ALLOWED_HOST":    "netbox.test",
		"SUPERUSER_EMAIL": "admin@netbox.test",
		"PUID":            "1000",
		"PGID":            "1000",
		"S6_STAGE2_HOOK":  strings.TrimSpace(probe + " -watch " + hook),
	}
}

// Secrets are the superuser's password and API token, new ones each time. With a
// token that is there from the start, no check waits for one to be made.
func Secrets() map[string]string {
	return map[string]string{
		"SUPERUSER_PASSWORD":  rand.Text(),
		"SUPERUSER_API_TOKEN": "nbt_" + rand.Text()[:12] + "." + (rand.Text() + rand.Text())[:40],
	}
}

// Command is what follows /init: the probe at that path inside the container,
// which takes the rest of what it needs from the container's environment. That
// release must answer. A Chromium in a container beside is debugged at browser, a
// host and a port. All limits are stretched by slowness: 1 on a native machine.
func Command(probe, release, browser string, slowness float64) []string {
	return []string{"with-contenv", probe, "-version", release, "-browser", browser,
		"-slowness", strconv.FormatFloat(slowness, 'g', -1, 64)}
}
