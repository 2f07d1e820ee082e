package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

// rootfs is the container's root as the pod's mount namespace sees it.
func (c *Container) rootfs() string { return filepath.Join(c.bundle, "rootfs") }

// mount lays out the root file system and all that is mounted in it, puts the
// files in place and writes runc's configuration.
func (c *Container) mount(lower []string) error {
	upper, work := filepath.Join(c.disk, "upper"), filepath.Join(c.disk, "work")
	for _, dir := range []string{upper, work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making the root file system: %w", err)
		}
	}
	var config []byte
	err := c.pod.in(unix.CLONE_NEWNS, func() error {
		if err := os.MkdirAll(c.rootfs(), 0o755); err != nil {
			return fmt.Errorf("making the root file system: %w", err)
		}
		if err := c.pod.engine.mountOverlay(c.rootfs(), lower, upper, work); err != nil {
			return fmt.Errorf("mounting the root file system: %w", err)
		}
		if err := c.furnish(); err != nil {
			return err
		}
		spec, err := c.runtimeConfig()
		if err != nil {
			return err
		}
		config, err = json.Marshal(spec)
		return err
	})
	if err != nil {
		return err
	}
	return c.pod.in(unix.CLONE_NEWNS, func() error {
		return os.WriteFile(filepath.Join(c.bundle, "config.json"), config, 0o600)
	})
}

// furnish runs on a thread inside the pod's mount namespace, whose root becomes
// the container's. Sources of bind mounts are opened before the root changes,
// targets looked up after it, so that a symbolic link of the image means what it
// means inside.
func (c *Container) furnish() error {
	type bind struct {
		fd       int
		path     string
		file     bool
		inherits bool // a volume takes over the owner of what it covers
	}
	var binds []bind
	defer func() {
		for _, b := range binds {
			unix.Close(b.fd)
		}
	}()
	open := func(source string, b bind) error {
		fd, err := unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			return fmt.Errorf("opening %s to mount it: %w", source, err)
		}
		b.fd = fd
		binds = append(binds, b)
		return nil
	}
	for i, m := range c.spec.Mounts {
		if m.Tmpfs {
			continue
		}
		source, b := m.Host, bind{path: m.Path}
		if source == "" {
			source, b.inherits = filepath.Join(c.disk, fmt.Sprintf("volume-%d", i)), true
			if err := os.Mkdir(source, 0o755); err != nil {
				return err
			}
		}
		if err := open(source, b); err != nil {
			return err
		}
	}
	for _, name := range []string{"hosts", "resolv.conf"} {
		if err := open(filepath.Join(c.pod.state, name), bind{path: "/etc/" + name, file: true}); err != nil {
			return err
		}
	}
	if err := enterRoot(c.rootfs()); err != nil {
		return err
	}
	// From here on "/" is the container's.
	for _, b := range binds {
		if b.file {
			if err := put(engine.File{Path: b.path, Mode: 0o644}); err != nil {
				return err
			}
		} else if err := os.MkdirAll(b.path, 0o755); err != nil {
			return fmt.Errorf("making %s: %w", b.path, err)
		}
		var covered unix.Stat_t
		if err := unix.Stat(b.path, &covered); err != nil {
			return err
		}
		if err := unix.MoveMount(b.fd, "", unix.AT_FDCWD, b.path, unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_SYMLINKS); err != nil {
			return fmt.Errorf("mounting %s: %w", b.path, err)
		}
		if b.inherits {
			if err := os.Chown(b.path, int(covered.Uid), int(covered.Gid)); err != nil {
				return err
			}
			if err := unix.Chmod(b.path, covered.Mode&0o7777); err != nil {
				return err
			}
		}
	}
	for _, m := range c.spec.Mounts {
		if !m.Tmpfs {
			continue
		}
		if err := os.MkdirAll(m.Path, 0o755); err != nil {
			return fmt.Errorf("making %s: %w", m.Path, err)
		}
		if err := unix.Mount("tmpfs", m.Path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777"); err != nil {
			return fmt.Errorf("mounting a tmpfs on %s: %w", m.Path, err)
		}
	}
	for _, f := range c.spec.Files {
		if err := put(f); err != nil {
			return fmt.Errorf("putting %s in place: %w", f.Path, err)
		}
	}
	return nil
}

func put(f engine.File) error {
	if err := os.MkdirAll(path.Dir(f.Path), 0o755); err != nil {
		return err
	}
	// A new file, never through a link or into a shared inode.
	if err := os.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(f.Path, f.Content, 0o600); err != nil {
		return err
	}
	if err := os.Chown(f.Path, f.UID, f.GID); err != nil {
		return err
	}
	return os.Chmod(f.Path, f.Mode)
}
