package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/linuxserver/docker-netbox/pipeline/base"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

// rootfs unpacks the local base image of this machine's architecture, made
// now or found in the user's cache, with this very program as its /init.
func rootfs(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: making and booting the base image needs root")
	}
	const source = "../../.."
	pins, err := versions.Load(source)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	b := base.Builder{
		Source: source,
		Cache:  filepath.Join(cache, "docker-netbox", "base"),
		Suite:  pins.Base.Local.Suite,
		Log:    t.Output(),
	}
	img, err := b.Image(t.Context(), v1.Platform{OS: "linux", Architecture: runtime.GOARCH})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	flat := mutate.Extract(img)
	tar := exec.Command("tar", "--extract", "--numeric-owner", "--directory="+dir)
	tar.Stdin, tar.Stderr = flat, t.Output()
	if err := errors.Join(tar.Run(), flat.Close()); err != nil {
		t.Fatal("unpacking the base image: ", err)
	}
	return dir
}
