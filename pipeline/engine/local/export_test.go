package local

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
)

// ID returns the prefix of the names of all that e's pods have on the machine.
func ID(e *Engine) string { return e.id }

// MakeDir creates a directory of the engine's cache.
var MakeDir = makeDir

// LayBase writes a base image for a build.
func LayBase(e *Engine, index v1.ImageIndex) error {
	_, _, err := e.writeBase(index)
	return err
}

// UnpackAndMount unpacks an image and mounts it at once on dir/root, as on a kernel
// with overlay's index=on.
func UnpackAndMount(ctx context.Context, e *Engine, img v1.Image, dir string) error {
	lower, err := e.unpack(ctx, img)
	if err != nil {
		return err
	}
	for i := range lower {
		lower[i] = filepath.Join(e.dirs.layers, lower[i])
	}
	return onThread(func() error {
		if err := privateMounts(); err != nil {
			return err
		}
		options := fmt.Sprintf("index=on,lowerdir=%s,upperdir=%s/upper,workdir=%s/work", strings.Join(lower, ":"), dir, dir)
		return unix.Mount("overlay", dir+"/root", "overlay", 0, options)
	})
}
