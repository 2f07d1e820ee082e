package local

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	whiteoutPrefix = ".wh."
	whiteoutOpaque = ".wh..wh..opq"
	opaqueXattr    = "trusted.overlay.opaque"
	// Names inside a layer's directory.
	layerFS      = "fs"      // the files
	layerImplied = "implied" // JSON list of directories the layer has no entry for
)

// layerStore keeps layers unpacked, each once, as overlayfs wants them.
type layerStore struct{ dir string }

// unpack unpacks what is missing of an image and returns the lower directories
// of its overlay, topmost first, relative to the store's directory.
func (s *layerStore) unpack(ctx context.Context, img v1.Image) ([]string, error) {
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
	names := make([]string, len(layers))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, layer := range layers {
		id := ids[i]
		names[i] = id.Hex[:16] // short: all names have to fit one page of mount options
		if slices.Contains(names[:i], names[i]) {
			continue
		}
		g.Go(func() error {
			err := makeDir(filepath.Join(s.dir, names[i]), func(tmp string) error {
				r, err := layer.Uncompressed()
				if err != nil {
					return err
				}
				defer r.Close()
				return unpackLayer(ctx, r, id, tmp)
			})
			if err != nil {
				return fmt.Errorf("unpacking layer %s: %w", id, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	// The same layer twice changes nothing, and overlayfs refuses it.
	slices.Reverse(names)
	var unique []string
	for _, n := range names {
		if !slices.Contains(unique, n) {
			unique = append(unique, n)
		}
	}
	repair, err := s.repairImplied(unique)
	if err != nil {
		return nil, err
	}
	var lower []string
	for _, n := range append(repair, unique...) {
		lower = append(lower, n+"/"+layerFS)
	}
	return lower, nil
}

func (s *layerStore) prune() error { return pruneDirs(s.dir, 24, 3*time.Hour) }

// unpackLayer unpacks one layer into dir, if it is the one that id names.
func unpackLayer(ctx context.Context, r io.Reader, id v1.Hash, dir string) error {
	sum := sha256.New()
	r = io.TeeReader(r, sum)
	u := unpacker{root: filepath.Join(dir, layerFS), made: map[string]bool{".": true}, implied: map[string]bool{}}
	if err := os.Mkdir(u.root, 0o755); err != nil {
		return err
	}
	tr := tar.NewReader(r)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if err := u.entry(h, tr); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	if _, err := io.Copy(io.Discard, r); err != nil { // padding
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != id.Hex {
		return fmt.Errorf("its content is sha256:%s: the image's config names another", got)
	}
	// Last: writing into a directory touches it.
	for _, h := range u.dirs {
		_ = setTime(filepath.Join(u.root, h.Name), h.ModTime)
	}
	data, err := json.Marshal(slices.Sorted(maps.Keys(u.implied)))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, layerImplied), data, 0o644)
}

type unpacker struct {
	root    string
	made    map[string]bool // real directories of this layer
	implied map[string]bool // those of them with no entry of their own
	dirs    []*tar.Header
}

func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	name := path.Clean("/" + h.Name)[1:]
	if name == "" {
		name = "."
	}
	parent, base := path.Split(name)
	if err := u.parent(path.Clean(parent)); err != nil {
		return err
	}
	target := filepath.Join(u.root, name)
	if base == whiteoutOpaque {
		return unix.Setxattr(filepath.Join(u.root, parent), opaqueXattr, []byte("y"), 0)
	}
	if gone, ok := strings.CutPrefix(base, whiteoutPrefix); ok {
		if strings.HasPrefix(gone, whiteoutPrefix) {
			return nil // aufs's own housekeeping
		}
		err := unix.Mknod(filepath.Join(u.root, parent, gone), unix.S_IFCHR, 0)
		if errors.Is(err, unix.EEXIST) {
			return nil // the layer puts something in its place
		}
		return err
	}
	mode := uint32(h.Mode & 0o7777)
	if h.Typeflag == tar.TypeDir {
		if !u.made[name] {
			if _, err := os.Lstat(target); err == nil { // a whiteout, or an entry that came before
				if err := os.RemoveAll(target); err != nil {
					return err
				}
			}
			if err := os.Mkdir(target, 0o755); err != nil {
				return err
			}
			u.made[name] = true
		}
		delete(u.implied, name)
		c := *h
		c.Name = name
		u.dirs = append(u.dirs, &c)
	} else {
		if u.made[name] {
			delete(u.made, name)
			delete(u.implied, name)
			if err := os.RemoveAll(target); err != nil {
				return err
			}
		} else if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
	case tar.TypeReg:
		f, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, content)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	case tar.TypeSymlink:
		if err := os.Symlink(h.Linkname, target); err != nil {
			return err
		}
	case tar.TypeLink:
		link := path.Clean("/" + h.Linkname)[1:]
		if !u.made[path.Dir(link)] {
			return fmt.Errorf("hard link to %s, which this layer does not have", h.Linkname)
		}
		return os.Link(filepath.Join(u.root, link), target)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		kind := map[byte]uint32{tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK, tar.TypeFifo: unix.S_IFIFO}[h.Typeflag]
		if err := unix.Mknod(target, kind|0o600, int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor)))); err != nil {
			return err
		}
	default:
		return fmt.Errorf("unknown kind %q of entry", h.Typeflag)
	}
	if err := os.Lchown(target, h.Uid, h.Gid); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeSymlink {
		if err := unix.Chmod(target, mode); err != nil { // after chown, which clears setuid
			return err
		}
	}
	for key, value := range h.PAXRecords {
		if attr, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok {
			if err := unix.Lsetxattr(target, attr, []byte(value), 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
				return fmt.Errorf("setting %s: %w", attr, err)
			}
		}
	}
	return setTime(target, h.ModTime)
}

func setTime(name string, at time.Time) error {
	ts := unix.NsecToTimespec(at.UnixNano())
	return unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}

// parent makes sure that dir is a real directory of this layer: an entry must
// not reach outside through a symbolic link.
func (u *unpacker) parent(dir string) error {
	if u.made[dir] {
		return nil
	}
	if err := u.parent(path.Dir(dir)); err != nil {
		return err
	}
	target := filepath.Join(u.root, dir)
	if info, err := os.Lstat(target); err == nil {
		if info.Mode()&fs.ModeCharDevice == 0 {
			return fmt.Errorf("%s is not a directory", dir)
		}
		if err := os.Remove(target); err != nil { // a whiteout
			return err
		}
	}
	if err := os.Mkdir(target, 0o755); err != nil {
		return err
	}
	u.made[dir], u.implied[dir] = true, true
	return nil
}

// repairImplied returns a layer on top that restores owner and mode of
// directories which a layer holds only because of a file in them: in an
// overlay the topmost directory's count, and there they are a guess. Layers
// from BuildKit have entries for all; layers appended in memory often not.
func (s *layerStore) repairImplied(names []string) ([]string, error) {
	implied := make([][]string, len(names))
	wanted := map[string]fs.FileInfo{}
	for i, n := range names {
		data, err := os.ReadFile(filepath.Join(s.dir, n, layerImplied))
		if err != nil {
			return nil, fmt.Errorf("reading layer %s: %w", n, err)
		}
		if err := json.Unmarshal(data, &implied[i]); err != nil {
			return nil, fmt.Errorf("reading layer %s: %w; remove %s", n, err, filepath.Join(s.dir, n))
		}
	}
	for i := range names {
		for _, dir := range implied[i] {
			if info := s.origin(names, implied, dir); info != nil {
				wanted[dir] = info
			}
		}
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	dirs := slices.Sorted(maps.Keys(wanted)) // parents first
	name := fmt.Sprintf("r%x", sha256.Sum256([]byte(strings.Join(names, " "))))[:16]
	err := makeDir(filepath.Join(s.dir, name), func(tmp string) error {
		root := filepath.Join(tmp, layerFS)
		if err := os.Mkdir(root, 0o755); err != nil {
			return err
		}
		for _, dir := range dirs {
			target := filepath.Join(root, dir)
			if err := os.MkdirAll(target, 0o755); err != nil {
				return err
			}
			st := wanted[dir].Sys().(*syscall.Stat_t)
			if err := os.Lchown(target, int(st.Uid), int(st.Gid)); err != nil {
				return err
			}
			if err := unix.Chmod(target, st.Mode&0o7777); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("completing the image's directories: %w", err)
	}
	return []string{name}, nil
}

// origin finds the directory that a layer describes and layers above it only
// imply; nil when the topmost description counts already, or none exists.
func (s *layerStore) origin(names []string, implied [][]string, dir string) fs.FileInfo {
	guessed := false
	for i, n := range names {
		root := filepath.Join(s.dir, n, layerFS)
		if info, err := os.Lstat(filepath.Join(root, dir)); err == nil {
			if !info.IsDir() {
				return nil
			}
			if !slices.Contains(implied[i], dir) {
				if guessed {
					return info
				}
				return nil
			}
			guessed = true
		}
		if hides(root, dir) {
			return nil
		}
	}
	return nil
}

// hides says whether a layer hides what layers below it have at dir.
func hides(root, dir string) bool {
	for at := dir; ; at = path.Dir(at) {
		if p := filepath.Join(root, at); isOpaque(p) || isWhiteout(p) {
			return true
		}
		if at == "." {
			return false
		}
	}
}

func isOpaque(p string) bool {
	var buf [4]byte
	n, err := unix.Lgetxattr(p, opaqueXattr, buf[:])
	return err == nil && n == 1 && buf[0] == 'y'
}

func isWhiteout(p string) bool {
	info, err := os.Lstat(p)
	if err != nil || info.Mode()&fs.ModeCharDevice == 0 {
		return false
	}
	return info.Sys().(*syscall.Stat_t).Rdev == 0
}
