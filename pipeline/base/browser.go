package base

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

// Chromium returns a container that runs a headless browser and serves its
// debugging protocol on port 9222 of all addresses. It runs on the image that
// Builder.Browser returns, or on one built from pipeline/base/browser/Dockerfile.
//
// Chromium itself only listens on the loopback address, hence socat. It runs as an
// unprivileged user and without its sandbox, which it cannot create in a container.
// Open only trusted pages.
func Chromium() engine.Container {
	return engine.Container{
		Name: "browser",
		Entrypoint: []string{"sh", "-c", `
setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs -- env HOME=/tmp \
	chromium-headless-shell --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars \
	--force-color-profile=srgb --log-level=3 --user-data-dir=/tmp/profile --remote-debugging-port=9223 about:blank &
exec socat TCP-LISTEN:9222,reuseaddr,fork TCP:127.0.0.1:9223`},
		Ready: []string{"socat", "-u", "OPEN:/dev/null", "TCP:127.0.0.1:9223"},
	}
}

// browserPackages are unpacked only, like sidecarPackages.
var browserPackages = []string{
	"base-files", "bash", "coreutils", "dash", "util-linux",
	"chromium-headless-shell", "fonts-liberation", "socat",
}

// browserFiles replaces the installation scripts: it creates the directory for the
// profile, and the links that configure a font for pages whose fonts are missing.
const browserFiles = `mkdir -p "$1/tmp" "$1/etc/fonts/conf.d" && chmod 1777 "$1/tmp" && cd "$1/etc/fonts/conf.d" &&
for rule in 30-metric-aliases 45-generic 45-latin 49-sansserif 60-generic 60-latin; do
	ln -sf "/usr/share/fontconfig/conf.avail/$rule.conf" .
done`

// Browser returns the image that Chromium runs on, for this machine's architecture.
func (b *Builder) Browser(ctx context.Context) (v1.Image, error) {
	return b.single(ctx, "packages", "the image of the browser", recipe{debian{
		name:    "browser",
		variant: "extract",
		include: browserPackages,
		hooks:   []string{"--extract-hook=" + browserFiles},
		exclude: excludedFromBrowser,
	}, nil, packagesConfig})
}

// excludedFromBrowser reports whether a path is left out: drivers for graphics cards,
// which are half of the image, and documentation.
func excludedFromBrowser(path string) bool {
	return hasAnyPrefix(path, "etc/apt", "usr/bin/perl", "usr/share/doc/", "usr/share/locale/", "usr/share/perl") ||
		containsAny(path, "/libLLVM", "/libgallium", "/libz3.", "/libVkLayer", "/libVkICD", "/libperl.", "/gconv/", "-linux-gnu/perl") ||
		excludedFromBase(path)
}
