package local

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
)

const (
	whiteoutPrefix = ".wh."
	whiteoutOpaque = ".wh..wh..opq"
	opaqueXattr    = "trusted.overlay.opaque"
	layerFS        = "fs" // the files, inside a layer's directory
)

// unpack unpacks what is missing of an image and returns the lower directories
// of its overlay, topmost first, relative to the directory of the layers. Each
// layer is kept by the names of all up to it: it is unpacked into an overlay of
// those below, so that the kernel notes what is gone, and whose a directory is
// that the layer has no entry for.
func (e *Engine) unpack(ctx context.Context, img v1.Image) (lower []string, err error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading the image's layers: %w", err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the image's config: %w", err)
	}
	// A layer's own DiffID decompresses all of it.
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
		name := fmt.Sprintf("%x", below.Sum(nil)[:8]) // short: all names have to fit one page of mount options
		err = makeDir(filepath.Join(e.dirs.layers, name), func(tmp string) error { return e.unpackLayer(ctx, layer, id, tmp, lower) })
		if err != nil {
			return nil, fmt.Errorf("unpacking layer %s: %w", id, err)
		}
		lower = append([]string{name + "/" + layerFS}, lower...)
	}
	return lower, nil
}

// unpackLayer unpacks one layer into dir, if it is the one that id names, as the
// upper directory of an overlay that this thread alone sees.
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
		old, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(old)
		if err := e.mountOverlay(root, append(lower, nothing), filepath.Join(dir, layerFS), work); err != nil {
			return fmt.Errorf("mounting the layers below: %w", err)
		}
		// The next layer's overlay has this directory below: the kernel may refuse
		// that as long as it is the upper one of another, until some time after
		// the thread's end.
		defer func() { err = errors.Join(err, leaveRoot(old, root, time.Minute)) }()
		if err := enterRoot(root); err != nil {
			return err
		}
		sum := sha256.New()
		content := io.TeeReader(r, sum)
		u := unpacker{made: map[string]bool{"/": true}}
		if err := u.layer(ctx, content); err != nil {
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

// mountOverlay mounts an overlay for the calling thread. Names of lower
// directories are relative to that of the layers: an option string longer than
// a page is cut off.
func (e *Engine) mountOverlay(target string, lower []string, upper, work string) error {
	if err := unix.Chdir(e.dirs.layers); err != nil {
		return err
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", strings.Join(lower, ":"), upper, work)
	// Nothing of it has to survive a power cut: no flushing to disk.
	err := unix.Mount("overlay", target, "overlay", 0, options+",volatile")
	if errors.Is(err, unix.EINVAL) { // before Linux 5.10
		err = unix.Mount("overlay", target, "overlay", 0, options)
	}
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w; the cache directory must not itself lie on an overlay", err)
	}
	return err
}

// unpacker unpacks a layer into the root directory of its thread, where links
// lead nowhere else.
type unpacker struct {
	made map[string]bool // what this layer has put in place, and the directories above it
	dirs []*tar.Header
}

func (u *unpacker) layer(ctx context.Context, r io.Reader) error {
	for files := tar.NewReader(r); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := u.entry(h, path.Clean("/"+h.Name), files); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	// Last: writing into a directory touches it.
	for _, h := range u.dirs {
		_ = setTime(path.Clean("/"+h.Name), h.ModTime)
	}
	return nil
}

func (u *unpacker) entry(h *tar.Header, name string, content io.Reader) error {
	dir, base := path.Split(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if base == whiteoutOpaque {
		return u.clear(path.Clean(dir))
	}
	if gone, ok := strings.CutPrefix(base, whiteoutPrefix); ok {
		if strings.HasPrefix(gone, whiteoutPrefix) || u.made[dir+gone] {
			return nil // aufs's own housekeeping, or the layer puts something in its place
		}
		return os.RemoveAll(dir + gone)
	}
	for at := name; !u.made[at]; at = path.Dir(at) {
		u.made[at] = true
	}
	if info, err := os.Lstat(name); err == nil && !(info.IsDir() && h.Typeflag == tar.TypeDir) {
		if err := os.RemoveAll(name); err != nil {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		if err := os.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		u.dirs = append(u.dirs, h)
	case tar.TypeReg:
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, content)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	case tar.TypeSymlink:
		if err := os.Symlink(h.Linkname, name); err != nil {
			return err
		}
	case tar.TypeLink:
		return os.Link(path.Clean("/"+h.Linkname), name)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		kind := map[byte]uint32{tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK, tar.TypeFifo: unix.S_IFIFO}[h.Typeflag]
		if err := unix.Mknod(name, kind|0o600, int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor)))); err != nil {
			return err
		}
	default:
		return fmt.Errorf("unknown kind %q of entry", h.Typeflag)
	}
	if err := os.Lchown(name, h.Uid, h.Gid); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeSymlink {
		if err := unix.Chmod(name, uint32(h.Mode&0o7777)); err != nil { // after chown, which clears setuid
			return err
		}
	}
	for key, value := range h.PAXRecords {
		if attr, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok {
			if err := unix.Lsetxattr(name, attr, []byte(value), 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
				return fmt.Errorf("setting %s: %w", attr, err)
			}
		}
	}
	return setTime(name, h.ModTime)
}

// clear removes from a directory what is of the layers below.
func (u *unpacker) clear(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		switch {
		case !u.made[name]:
			err = os.RemoveAll(name)
		case entry.IsDir():
			err = u.clear(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func setTime(name string, at time.Time) error {
	ts := unix.NsecToTimespec(at.UnixNano())
	return unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}
