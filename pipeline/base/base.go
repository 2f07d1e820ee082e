// Package base builds the local base image from Debian packages, and the image of
// the services that a test boots beside NetBox. It is for a machine that reaches
// a Debian mirror but no container registry.
//
// The base image follows the same contract as the published linuxserver.io one:
// /init as process 1 that reads /etc/s6-overlay/s6-rc.d, fifteen base services,
// user abc, with-contenv, lsiown, /docker-mods. It has two layers. mmdebstrap
// builds the lower one from packages, which takes minutes; it seldom changes. The
// upper one holds the files under rootfs/ and the programs compiled from init/ and
// mods/, which takes seconds.
//
// Each image is cached as an OCI layout under a hash of its inputs.
package base

import (
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
)

// Builder builds the images. Its fields are inputs; it holds no state.
type Builder struct {
	Source string            // root of the repository
	Cache  string            // directory that the Builder may fill
	Suite  string            // of Debian, such as "trixie"
	CPU    map[string]string // QEMU_CPU by foreign architecture
	Log    io.Writer         // receives progress lines; may be nil
	Wait   time.Duration     // limit on waiting for another process that builds the same image; an hour when zero
}

// basePackages are installed besides apt and Debian's essential packages. The
// standalone sysusers keeps the rest of systemd out.
var basePackages = []string{
	"ca-certificates",
	"cron",
	"execline",
	"s6",
	"systemd-standalone-sysusers",
	"tzdata",
}

// accounts adds user abc as the linuxserver.io base does: ID 911 with its own
// group, and member of group users, which has ID 1000. It edits the files directly
// because useradd and groupmod read the host's users too.
const accounts = `cd "$1/etc" &&
sed -i 's/^users:x:100:.*/users:x:1000:abc/' group &&
sed -i 's/^users:\([^:]*\):.*/users:\1::abc/' gshadow &&
echo 'abc:x:911:' >>group && echo 'abc:!::' >>gshadow &&
echo 'abc:x:911:911::/config:/bin/false' >>passwd && echo 'abc:!:20309::::::' >>shadow`

// commandLinks links the programs of s6 and execline into /command, which s6-overlay
// puts first on PATH and scripts name in their first line.
const commandLinks = `mkdir -p "$1/command" && cd "$1" &&
for program in usr/bin/s6-* usr/bin/execlineb usr/lib/execline/bin/*; do
	ln -s "/$program" "command/${program##*/}"
done`

// epoch is the release date of Debian trixie. Files in layers get no later
// modification time, so that the same packages produce the same layer on any day.
var epoch = time.Date(2025, 8, 9, 0, 0, 0, 0, time.UTC)

// Base returns one index with the base image of each platform. It builds images
// that are not cached, all platforms in parallel.
func (b *Builder) Base(ctx context.Context, platforms ...v1.Platform) (v1.ImageIndex, error) {
	apt, err := hostApt(ctx, b.Suite)
	if err != nil {
		return nil, err
	}
	programs, err := b.programs(ctx)
	if err != nil {
		return nil, err
	}
	var recipes []recipe
	for _, p := range platforms {
		files := &overlay{arch: p.Architecture, dir: filepath.Join(b.Source, rootfs), programs: programs, sources: apt.imageSources()}
		recipes = append(recipes, recipe{baseDebian(p.Architecture, apt), files, baseConfig()})
	}
	return b.index(ctx, "base", "the base image", recipes...)
}

// Image returns the base image of one platform.
func (b *Builder) Image(ctx context.Context, platform v1.Platform) (v1.Image, error) {
	index, err := b.Base(ctx, platform)
	if err != nil {
		return nil, err
	}
	return engine.ImageFor(index, platform)
}

// Sidecars returns the image that contains PostgreSQL and Redis, for this
// machine's architecture. The functions PostgreSQL and Redis return the containers.
func (b *Builder) Sidecars(ctx context.Context) (v1.Image, error) {
	files := &overlay{arch: runtime.GOARCH, dir: filepath.Join(b.Source, "pipeline/base/sidecars")}
	return b.single(ctx, "sidecars", "the image of PostgreSQL and Redis", recipe{debian{
		name:    "sidecars",
		variant: "extract",
		include: sidecarPackages,
		hooks:   []string{"--extract-hook=" + sidecarAccounts, "--extract-hook=" + sidecarCluster},
		exclude: excludedFromSidecars,
	}, files, v1.Config{Env: []string{"PATH=" + sidecarPath, "LANG=C.UTF-8"}}})
}

// Packages returns an image that contains only Debian packages of the Builder's
// suite, installed by apt, for this machine's architecture. Tests use it for
// further services beside NetBox.
func (b *Builder) Packages(ctx context.Context, packages ...string) (v1.Image, error) {
	return b.single(ctx, "packages", "the image of "+strings.Join(packages, ", "), recipe{debian{
		name:    "packages-" + b.Suite,
		variant: "essential",
		include: packages,
		exclude: excludedFromBase,
	}, nil, packagesConfig})
}

var packagesConfig = v1.Config{Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}}

// recipe describes the image of one platform.
type recipe struct {
	debian
	files  *overlay // nil for an image of one layer
	config v1.Config
}

// single returns an image for this machine's architecture.
func (b *Builder) single(ctx context.Context, kind, what string, r recipe) (v1.Image, error) {
	var err error
	if r.apt, err = hostApt(ctx, b.Suite); err != nil {
		return nil, err
	}
	r.arch, r.level = runtime.GOARCH, gzip.BestSpeed
	index, err := b.index(ctx, kind, what, r)
	if err != nil {
		return nil, err
	}
	return engine.ImageFor(index, platform.Linux(r.arch))
}

// index returns an index of images from the cache, or builds them in parallel.
// Errors refer to them as what.
func (b *Builder) index(ctx context.Context, kind, what string, recipes ...recipe) (v1.ImageIndex, error) {
	var inputs []any
	for _, r := range recipes {
		lower, err := b.debianKey(r.debian)
		upper := ""
		if err == nil && r.files != nil {
			upper, err = r.files.key()
		}
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, lower, upper, r.config)
	}
	dir, err := b.store().get(ctx, kind, hashOf(inputs...), func(ctx context.Context, to layout.Path) error {
		images := make([]v1.Image, len(recipes))
		g, ctx := errgroup.WithContext(ctx)
		for i, r := range recipes {
			g.Go(func() (err error) {
				if images[i], err = b.image(ctx, r, to); err != nil {
					return fmt.Errorf("making %s for %s: %w", what, platform.Linux(r.arch), err)
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		for i, r := range recipes {
			if err := to.AppendImage(images[i], layout.WithPlatform(platform.Linux(r.arch))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the cached image %s: %w", dir, err)
	}
	return index, nil
}

// baseDebian describes the lower layer of the base image.
func baseDebian(arch string, apt apt) debian {
	return debian{
		name:    "base",
		arch:    arch,
		variant: "apt",
		include: basePackages,
		hooks:   []string{"--customize-hook=" + accounts, "--customize-hook=" + commandLinks},
		apt:     apt,
		level:   gzip.DefaultCompression,
		exclude: excludedFromBase,
	}
}

// image assembles an image and links its lower layer's blob into the layout to.
func (b *Builder) image(ctx context.Context, r recipe, to layout.Path) (v1.Image, error) {
	lower, err := b.debianLayer(ctx, r.debian, to)
	if err != nil {
		return nil, err
	}
	layer := func(of v1.Layer, by string) mutate.Addendum {
		return mutate.Addendum{Layer: of, MediaType: types.OCILayer, History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: by}}
	}
	layers := []mutate.Addendum{layer(lower, "mmdebstrap "+b.Suite+" "+strings.Join(r.include, " "))}
	if r.files != nil {
		upper, err := r.files.layer(ctx)
		if err != nil {
			return nil, err
		}
		layers = append(layers, layer(upper, "pipeline/base/"+filepath.Base(r.files.dir)))
	}
	return assemble(r.arch, r.config, layers...)
}

func (b *Builder) store() store {
	return store{dir: b.Cache, log: b.Log, wait: cmp.Or(b.Wait, time.Hour)}
}

func baseConfig() v1.Config {
	return v1.Config{
		Entrypoint: []string{"/init"},
		Env: []string{
			"PATH=/lsiopy/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"HOME=/root",
			"LANG=C.UTF-8",
			"TERM=xterm",
			"S6_CMD_WAIT_FOR_SERVICES_MAXTIME=0",
			"S6_STAGE2_HOOK=/docker-mods",
			"S6_VERBOSITY=1",
			"VIRTUAL_ENV=/lsiopy",
		},
	}
}

// assemble returns a reproducible OCI image.
func assemble(arch string, config v1.Config, layers ...mutate.Addendum) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.ConfigFile(img, &v1.ConfigFile{
		OS:           "linux",
		Architecture: arch,
		Created:      v1.Time{Time: epoch},
		Config:       config,
		RootFS:       v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, err
	}
	return mutate.Append(img, layers...)
}
