package smoke

import (
	"strconv"
	"strings"
)

// Options is how one container is set up and asked. Container and probe are
// named by the same value, so they cannot disagree. All are required.
type Options struct {
	Version  string  // NetBox release that must answer
	Password string  // of the superuser
	Browser  string  // host:port at which a Chromium in a container beside is debugged
	Slowness float64 // by how much all limits are stretched, for emulation; 1 on a native machine
}

// Env is the environment that the container under test needs for the probe to
// find what it expects.
func (o Options) Env() map[string]string {
	return map[string]string{
		"ALLOWED_HOST":    "netbox.test",
		"SUPERUSER_EMAIL": "admin@netbox.test",
		"PUID":            "1000",
		"PGID":            "1000",
	}
}

// Secrets is the part of the environment that no log may show.
func (o Options) Secrets() map[string]string {
	return map[string]string{"SUPERUSER_PASSWORD": o.Password}
}

// Watch is the variable that has /init start the probe before any service, to
// report each service that ends. It takes the place of the image's own hook,
// which is run as before.
func Watch(probe, hook string) (name, value string) {
	return "S6_STAGE2_HOOK", strings.TrimSpace(probe + " -watch " + hook)
}

// Command is what follows /init: the probe at that path inside the container,
// which takes the rest of what it needs from the container's environment.
func (o Options) Command(probe string) []string {
	return []string{"with-contenv", probe,
		"-version", o.Version,
		"-browser", o.Browser,
		"-slowness", strconv.FormatFloat(o.Slowness, 'g', -1, 64),
	}
}
