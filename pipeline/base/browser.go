package base

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

// Chromium is a headless browser that is debugged on port 9222 of every
// address, on an image that has the packages of pipeline/base/browser: the one
// that Builder.Browser returns, or one that its Dockerfile makes.
//
// Chromium itself listens on loopback alone. It is no root and has no sandbox,
// which a container does not let it make: it is for pages of our own.
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

// browserPackages are unpacked only, as those of the services are.
var browserPackages = []string{
	"base-files", "bash", "coreutils", "dash", "util-linux",
	"chromium-headless-shell", "fonts-liberation", "socat",
}

// browserFiles makes what the installation scripts would have: a place for the
// profile, and the links by which pages that name no font at hand get one.
const browserFiles = `mkdir -p "$1/tmp" "$1/etc/fonts/conf.d" && chmod 1777 "$1/tmp" && cd "$1/etc/fonts/conf.d" &&
for rule in 30-metric-aliases 45-generic 45-latin 49-sansserif 60-generic 60-latin; do
	ln -sf "/usr/share/fontconfig/conf.avail/$rule.conf" .
done`

// Browser returns the image that Chromium runs on, for this machine's own
// architecture.
func (b *Builder) Browser(ctx context.Context) (v1.Image, error) {
	return b.single(ctx, "packages", "the image of the browser", recipe{debian{
		name:    "browser",
		variant: "extract",
		include: browserPackages,
		hooks:   []string{"--extract-hook=" + browserFiles},
		drop:    droppedFromBrowser,
	}, nil, packagesConfig})
}

// droppedFromBrowser leaves out what draws with a graphics card, which is half
// of it all, and what nobody reads.
func droppedFromBrowser(path string) bool {
	return beginsWith(path, "etc/apt", "usr/bin/perl", "usr/share/doc/", "usr/share/locale/", "usr/share/perl") ||
		contains(path, "/libLLVM", "/libgallium", "/libz3.", "/libVkLayer", "/libVkICD", "/libperl.", "/gconv/", "-linux-gnu/perl") ||
		droppedFromBase(path)
}
