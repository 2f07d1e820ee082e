package smoke

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

// Options is how one container is set up and asked. Container and probe are
// named by the same value, so they cannot disagree.
type Options struct {
	Version       string        // NetBox release that must answer
	BasePath      string        // BASE_PATH as a user writes it
	Password      string        // of the superuser; required
	Browser       string        // host:port at which a Chromium in a container beside is debugged; required
	UID           int           // PUID; 1000 when zero
	Ready         time.Duration // limit from the probe's start to the first 200, on a native machine; one minute when zero
	Slowness      float64       // by how much all limits are stretched, for emulation; 1 when zero
	ThenTerminate bool          // after success, have the probe send SIGTERM to PID 1 instead of ending
}

// Env is the environment that the container under test needs for the probe to
// find what it expects.
func (o Options) Env() map[string]string {
	env := map[string]string{
		"ALLOWED_HOST":    "netbox.test",
		"SUPERUSER_EMAIL": "admin@netbox.test",
		"PUID":            strconv.Itoa(cmp.Or(o.UID, 1000)),
		"PGID":            "1000",
	}
	if o.BasePath != "" {
		env["BASE_PATH"] = o.BasePath
	}
	return env
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
	command := []string{"with-contenv", probe,
		"-version", o.Version,
		"-ready", cmp.Or(o.Ready, time.Minute).String(),
		"-browser", o.Browser,
		"-slowness", strconv.FormatFloat(cmp.Or(o.Slowness, 1), 'g', -1, 64),
	}
	if o.ThenTerminate {
		command = append(command, "-then-terminate")
	}
	return command
}
