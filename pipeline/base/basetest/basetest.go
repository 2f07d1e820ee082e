// Package basetest prepares a machine for tests that build and boot the local
// base image.
package basetest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/base"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
	"github.com/linuxserver/docker-netbox/tests/need"
)

// Builder returns a builder for the repository at source that uses the user's cache,
// so that tests use the images that the pipeline has already built.
func Builder(t testing.TB, source string) base.Builder {
	t.Helper()
	Machine(t, source)
	pins := pinned(t, source)
	return base.Builder{
		Source: source,
		Cache:  filepath.Join(userCache(t), "base"),
		Suite:  pins.Base.Local.Suite,
		CPU:    pins.CPUs(),
		Log:    t.Output(),
		Wait:   time.Hour,
	}
}

// Packages returns an image that contains only Debian packages of a suite. Tests run
// real services from it beside NetBox.
func Packages(t testing.TB, source, suite string, packages ...string) v1.Image {
	t.Helper()
	b := Builder(t, source)
	b.Suite = suite
	img, err := b.Packages(t.Context(), packages...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// Machine prepares the machine for the pipeline of the repository at source. Like
// the pipeline, it installs whatever is missing.
func Machine(t testing.TB, source string) {
	t.Helper()
	need.Root(t, "making and booting the base image")
	eng := Engine(t, source)
	if err := eng.Setup(t.Context(), t.Output()); err != nil {
		t.Fatal(err)
	}
	if err := eng.Close(); err != nil {
		t.Fatal(err)
	}
}

// Engine returns the local engine with the user's cache. It waits up to an hour for
// another run to release the cache. The caller closes it.
func Engine(t testing.TB, source string) *local.Engine {
	t.Helper()
	eng, err := local.New(local.Options{
		Cache:     filepath.Join(userCache(t), "engine"),
		Tools:     filepath.Join(source, "tools"),
		Platforms: []v1.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}},
		QEMUCPU:   pinned(t, source).CPUs(),
		LockWait:  time.Hour,
		Environ:   os.Environ(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return eng
}

func pinned(t testing.TB, source string) *versions.Versions {
	t.Helper()
	pins, err := versions.Load(source)
	if err != nil {
		t.Fatal(err)
	}
	return pins
}

func userCache(t testing.TB) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "docker-netbox")
}
