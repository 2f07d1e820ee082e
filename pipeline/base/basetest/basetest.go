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

// Builder makes images of the repository at source in the user's own cache:
// what the pipeline has made already is what is tested.
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

// Packages is an image of nothing but Debian packages of a suite: real
// services for a test to put beside NetBox.
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

// Machine gets the machine ready for the pipeline of the repository at source:
// on a bare one everything is installed, as the pipeline would.
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

// Engine is the local engine with the user's own cache, which another run may
// hold for an hour. The caller closes it.
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
