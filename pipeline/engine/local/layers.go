package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/go-archive"
	"golang.org/x/sys/unix"
)

const layerFS = "fs" // the directory of the files inside a layer's directory

// unpack unpacks the layers of an image that are not in the cache and returns the
// lower directories of its overlay, topmost first, relative to the directory of
// the layers. A layer is unpacked into an overlay of those below it, so that the
// kernel writes the whiteouts, and copies up the directories that the layer has no
// entry for. It is therefore cached by the diff IDs of itself and those below.
func (e *Engine) unpack(ctx context.Context, img v1.Image) (lower []string, err error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading the image's layers: %w", err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the image's config: %w", err)
	}
	// layer.DiffID() would decompress the whole layer.
	ids := config.RootFS.DiffIDs
	if len(ids) != len(layers) {
		return nil, fmt.Errorf("reading the image's layers: its config names %d, its manifest %d", len(ids), len(layers))
	}
	if len(layers) == 0 {
		return nil, errors.New("the image has no layers")
	}
	below := sha256.New()
	for i, layer := range layers {
		id := ids[i]
		io.WriteString(below, id.Hex)
		name := fmt.Sprintf("%x", below.Sum(nil)[:8]) // short: mount options are limited to one page
		err = makeDir(filepath.Join(e.dirs.layers, name), func(tmp string) error { return e.unpackLayer(ctx, layer, id, tmp, lower) })
		if err != nil {
			return nil, fmt.Errorf("unpacking layer %s: %w", id, err)
		}
		lower = append([]string{name + "/" + layerFS}, lower...)
	}
	return lower, nil
}

// unpackLayer unpacks one layer into dir, as the upper directory of an overlay that
// only this thread sees, and checks that its diff ID is id.
func (e *Engine) unpackLayer(ctx context.Context, layer v1.Layer, id v1.Hash, dir string, lower []string) error {
	r, err := layer.Uncompressed()
	if err != nil {
		return err
	}
	defer r.Close()
	overlay := filepath.Join(dir, "overlay")
	root, work, nothing := filepath.Join(overlay, "root"), filepath.Join(overlay, "work"), filepath.Join(overlay, "nothing")
	for _, made := range []string{overlay, root, work, nothing, filepath.Join(dir, layerFS)} {
		if err := os.Mkdir(made, 0o755); err != nil {
			return err
		}
	}
	err = onThread(func() (err error) {
		if err := privateMounts(); err != nil {
			return err
		}
		if err := e.mountOverlay(root, append(lower, nothing), filepath.Join(dir, layerFS), work); err != nil {
			return fmt.Errorf("mounting the layers below: %w", err)
		}
		// The next layer's overlay uses this directory as a lower one. The kernel may
		// refuse that while it is the upper directory of another overlay, and without
		// an explicit unmount that is until some time after the thread's end.
		defer func() { err = errors.Join(err, unmount(root, time.Minute)) }()
		sum := sha256.New()
		content := io.TeeReader(r, io.MultiWriter(sum, untilDone{ctx}))
		// Unlike initgraph.OpenImage, UnpackLayer applies whiteouts in the order of the
		// archive. It skips attributes that the kernel refuses, with a warning.
		if _, err := archive.UnpackLayer(root, content, &archive.TarOptions{BestEffortXattrs: true}); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, content); err != nil { // padding
			return err
		}
		if got := hex.EncodeToString(sum.Sum(nil)); got != id.Hex {
			return fmt.Errorf("its content is sha256:%s: the image's config names another", got)
		}
		return nil
	})
	return errors.Join(err, os.RemoveAll(overlay))
}

// untilDone is a writer that accepts everything until its context is done.
type untilDone struct{ context.Context }

func (u untilDone) Write(p []byte) (int, error) { return len(p), u.Err() }

// mountOverlay mounts an overlay in the calling thread's namespace. Lower
// directories are relative to that of the layers: the kernel truncates an option
// string that is longer than a page.
func (e *Engine) mountOverlay(target string, lower []string, upper, work string) error {
	if err := unix.Chdir(e.dirs.layers); err != nil {
		return err
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", strings.Join(lower, ":"), upper, work)
	// volatile skips flushing to disk: nothing here has to survive a power failure.
	err := unix.Mount("overlay", target, "overlay", 0, options+",volatile")
	if errors.Is(err, unix.EINVAL) { // before Linux 5.10
		err = unix.Mount("overlay", target, "overlay", 0, options)
	}
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w; the cache directory must not itself lie on an overlay", err)
	}
	return err
}
