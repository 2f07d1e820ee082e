package basetest

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

// Platform returns the platform that this machine runs without emulation.
func Platform() v1.Platform {
	return platform.Linux(runtime.GOARCH)
}

// NetBox builds the image of the repository at source for this machine's
// architecture with the command line, and writes it to image/ under dir.
func NetBox(t testing.TB, source, dir string) {
	t.Helper()
	build := exec.CommandContext(t.Context(), "go", "run", "./ci", "build", "--engine", "local", "--platform", "linux/"+runtime.GOARCH, "--output", dir)
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the image: %v: %s", err, out[max(0, len(out)-4000):])
	}
}

// Image reads the index that NetBox wrote under dir, and its image for this machine.
func Image(t testing.TB, dir string) (v1.ImageIndex, v1.Image) {
	t.Helper()
	idx, err := registry.ReadLayout(t.Context(), filepath.Join(dir, "image"))
	if err != nil {
		t.Fatal(err)
	}
	img, err := engine.ImageFor(idx, Platform())
	if err != nil {
		t.Fatal(err)
	}
	return idx, img
}
