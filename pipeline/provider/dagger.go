package provider

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/base"
	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/dagger"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

// Dagger provides published images, which the Dagger engine pulls by name.
type Dagger struct {
	Engine   *dagger.Engine
	Repo     string // the repository's directory
	Services versions.Sidecars
	Builder  base.Builder // for the base "local"; its Log is set for each use
	BaseName string       // an image reference, "oci:DIR" or "local"
}

// Native returns the platform of Dagger's engine. If the engine cannot be reached,
// its Setup reports that.
func (d Dagger) Native() v1.Platform {
	native, _ := d.Engine.Native()
	return platform.Canonical(native)
}

// Program returns the platform's architecture: Dagger's emulator runs every program
// of the container.
func (d Dagger) Program(platform v1.Platform) string { return platform.Architecture }

// Base returns the base image named by BaseName.
func (d Dagger) Base(ctx context.Context, platforms []v1.Platform, log io.Writer) (engine.Base, error) {
	return baseImage(ctx, d.BaseName, d.Builder, platforms, d.Native(), log)
}

// Browser builds the browser's image by installing its packages on the base image.
func (d Dagger) Browser(ctx context.Context, log io.Writer) (engine.Container, error) {
	on, err := d.Base(ctx, []v1.Platform{d.Native()}, log)
	if err != nil {
		return engine.Container{}, err
	}
	img, err := d.Engine.Build(ctx, engine.BuildRequest{
		Platform:   d.Native(),
		Context:    filepath.Join(d.Repo, "pipeline/base/browser"),
		Dockerfile: "Dockerfile",
		Base:       on,
		Log:        log,
	})
	if err != nil {
		return engine.Container{}, fmt.Errorf("make the image of the browser: %w", err)
	}
	chromium := base.Chromium()
	chromium.Image, chromium.Args = img, []string{}
	return chromium, nil
}

// startRedis starts a Redis with a password. The published image accepts one only
// on the command line, where every process could read it.
const startRedis = `exec redis-server - <<END
bind * -::*
save ""
appendonly no
requirepass $REDIS_PASSWORD
END
`

// Sidecars returns the published images of the services.
func (d Dagger) Sidecars(context.Context, io.Writer) (pipeline.Sidecars, error) {
	return sidecars(engine.Container{
		Reference: d.Services.Postgres.Image,
		// The data need not survive a power failure.
		Args: []string{"postgres", "-c", "listen_addresses=*", "-c", "fsync=off"},
		// Over TCP: the image first initialises the database with a server that listens
		// on a Unix socket only, which pg_isready would report as ready.
		Ready: []string{"sh", "-c", `PGPASSWORD=$POSTGRES_PASSWORD exec psql --host=127.0.0.1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" --no-psqlrc --quiet --tuples-only --command='select 1'`},
	}, engine.Container{
		Reference:  d.Services.Redis.Image,
		Entrypoint: []string{"sh", "-c", startRedis},
		Args:       []string{},
		// redis-cli exits 0 whatever the answer is.
		Ready: []string{"sh", "-c", `[ "$(REDISCLI_AUTH=$REDIS_PASSWORD redis-cli ping)" = PONG ]`},
	}), nil
}
