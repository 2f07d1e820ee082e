package main

import (
	"errors"
	"os/exec"
	"runtime"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/linuxserver/docker-netbox/pipeline/base/basetest"
)

// rootfs unpacks the local base image of this machine's architecture, made
// now or found in the user's cache, with this very program as its /init.
func rootfs(t *testing.T) string {
	t.Helper()
	b := basetest.Builder(t, "../../..")
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
