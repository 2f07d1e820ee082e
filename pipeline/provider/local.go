// Package provider provides the base image and the images of the services that
// NetBox needs: built from Debian packages, read from a directory or pulled by name.
package provider

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/base"
	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
)

// Local builds all images on this machine, for the local engine.
type Local struct {
	Builder  base.Builder // its Log is set for each use
	BaseName string       // "local", "oci:DIR" or an image reference
}

// LocalBase is the name of the base image that is built from Debian packages.
const LocalBase = "local"

// CheckBase returns an error if Base cannot use the name of a base image.
func CheckBase(baseName string) error {
	if baseName == LocalBase {
		return nil
	}
	if dir, ok := strings.CutPrefix(baseName, "oci:"); ok {
		_, err := readLayout(dir)
		return err
	}
	if _, err := name.ParseReference(baseName); err != nil {
		return failure.Usagef("read the base image's name %q: %w: pass --base local, --base oci:DIR or --base REFERENCE", baseName, err)
	}
	return nil
}

func readLayout(dir string) (v1.ImageIndex, error) {
	idx, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, failure.Usagef("read the base image oci:%s: %w: pass the directory of an OCI layout to --base oci:", dir, err)
	}
	return idx, nil
}

// Native returns this machine's platform.
func (l Local) Native() v1.Platform {
	return platform.Linux(runtime.GOARCH)
}

// Program returns this machine's architecture: the kernel runs such programs in any
// container.
func (l Local) Program(v1.Platform) string { return runtime.GOARCH }

// Base returns the base image named by BaseName, and builds the local one.
func (l Local) Base(ctx context.Context, platforms []v1.Platform, log io.Writer) (engine.Base, error) {
	return baseImage(ctx, l.BaseName, l.Builder, platforms, l.Native(), log)
}

// baseImage returns the named base image. The local one is built for the platforms
// and for the machine that builds.
func baseImage(ctx context.Context, name string, b base.Builder, platforms []v1.Platform, native v1.Platform, log io.Writer) (engine.Base, error) {
	if name == LocalBase {
		b.Log = log
		if !slices.ContainsFunc(platforms, native.Equals) {
			platforms = append(slices.Clone(platforms), native)
		}
		index, err := b.Base(ctx, platforms...)
		return engine.Base{Index: index}, err
	}
	if dir, ok := strings.CutPrefix(name, "oci:"); ok {
		index, err := readLayout(dir)
		return engine.Base{Index: index}, err
	}
	return engine.Base{Reference: name}, nil
}

// Browser builds the browser's image from Debian packages.
func (l Local) Browser(ctx context.Context, log io.Writer) (_ engine.Container, err error) {
	b := l.Builder
	b.Log = log
	chromium := base.Chromium()
	chromium.Image, err = b.Browser(ctx)
	return chromium, err
}

// Sidecars builds the image of the services from Debian packages.
func (l Local) Sidecars(ctx context.Context, log io.Writer) (pipeline.Sidecars, error) {
	b := l.Builder
	b.Log = log
	img, err := b.Sidecars(ctx)
	if err != nil {
		return pipeline.Sidecars{}, fmt.Errorf("make the services to boot against: %w", err)
	}
	postgres, redis := base.PostgreSQL(), base.Redis()
	postgres.Image, redis.Image = img, img
	return sidecars(postgres, redis), nil
}

// sidecars sets the host names by which NetBox reaches the services, and random
// passwords.
func sidecars(postgres, redis engine.Container) pipeline.Sidecars {
	postgres.Name, redis.Name = "postgres", "redis"
	postgres.Env = map[string]string{"POSTGRES_DB": "netbox", "POSTGRES_USER": "netbox"}
	postgres.Secrets = map[string]string{"POSTGRES_PASSWORD": rand.Text()}
	redis.Secrets = map[string]string{"REDIS_PASSWORD": rand.Text()}
	return pipeline.Sidecars{Postgres: postgres, Redis: redis}
}
