package smoke

import (
	"crypto/rand"
	"strconv"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/gotool"
)

// Probe returns the probe of the repository at repoDir as a static program for
// linux/goarch.
func Probe(repoDir, goarch string) gotool.Program {
	return gotool.Program{
		Dir: repoDir, Files: []string{"go.mod", "go.sum", "pipeline"},
		Package: "./pipeline/smoke/probe", GOARCH: goarch,
	}
}

// Env returns the environment variables, besides Secrets, of the container under
// test. They make /init start the probe at the given path before any service, to
// report each service that exits. The probe replaces the image's own hook and
// runs it.
func Env(probe, hook string) map[string]string {
	return map[string]string{
		"ALLOWED_HOST":    "netbox.test",
		"SUPERUSER_EMAIL": "admin@netbox.test",
		"PUID":            "1000",
		"PGID":            "1000",
		"S6_STAGE2_HOOK":  strings.TrimSpace(probe + " -watch " + hook),
	}
}

// Secrets returns a new password and API token for the superuser. Since the token
// exists from the start, no check waits for one to be created.
func Secrets() map[string]string {
	return map[string]string{
		"SUPERUSER_PASSWORD":  rand.Text(),
		"SUPERUSER_API_TOKEN": "nbt_" + rand.Text()[:12] + "." + (rand.Text() + rand.Text())[:40],
	}
}

// Command returns the arguments of /init: the probe at the given path inside the
// container, which reads its other settings from the environment. release is the
// expected NetBox release. browser is the host and port at which a Chromium in
// another container is debugged. slowness multiplies all timeouts: 1 on a native
// machine.
func Command(probe, release, browser string, slowness float64) []string {
	return []string{"with-contenv", probe, "-version", release, "-browser", browser,
		"-slowness", strconv.FormatFloat(slowness, 'g', -1, 64)}
}
