package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	securejoin "github.com/cyphar/filepath-securejoin"
	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

// rootfs returns the path of the container's root in the pod's mount namespace.
func (c *Container) rootfs() string { return filepath.Join(c.pod.state, c.id, "rootfs") }

// path returns a container's path as a path in the pod's mount namespace, for use
// before the start. Symbolic links are resolved inside the container's root.
func (c *Container) path(inside string) (string, error) {
	return securejoin.SecureJoin(c.rootfs(), inside)
}

// mount mounts the root file system and everything in it, and writes the files and
// runc's configuration.
func (c *Container) mount(lower []string) error {
	disk := filepath.Join(c.pod.dir, c.id)
	upper, work := filepath.Join(disk, "upper"), filepath.Join(disk, "work")
	for _, dir := range []string{upper, work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making the root file system: %w", err)
		}
	}
	return c.pod.in(unix.CLONE_NEWNS, func() error {
		if err := os.MkdirAll(c.rootfs(), 0o755); err != nil {
			return fmt.Errorf("making the root file system: %w", err)
		}
		if err := c.pod.engine.mountOverlay(c.rootfs(), lower, upper, work); err != nil {
			return fmt.Errorf("mounting the root file system: %w", err)
		}
		for i, m := range c.spec.Mounts {
			if err := c.mountOne(m, filepath.Join(disk, fmt.Sprintf("volume-%d", i))); err != nil {
				return fmt.Errorf("mounting %s: %w", m.Path, err)
			}
		}
		for _, f := range c.spec.Files {
			if err := c.put(f); err != nil {
				return fmt.Errorf("putting %s in place: %w", f.Path, err)
			}
		}
		spec, err := c.runtimeConfig()
		if err != nil {
			return err
		}
		config, err := json.Marshal(spec)
		if err != nil {
			return err
		}
		return c.pod.files.WriteFile(filepath.Join(c.id, "config.json"), config, 0o600)
	})
}

// mountOne makes one of the container's mounts. The directory of an anonymous
// volume gets the owner and mode of the directory that it covers.
func (c *Container) mountOne(m engine.Mount, volume string) error {
	target, err := c.path(m.Path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if m.Tmpfs {
		return unix.Mount("tmpfs", target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777")
	}
	source := m.Host
	if source == "" {
		source = volume
		var covered unix.Stat_t
		if err := unix.Stat(target, &covered); err != nil {
			return err
		}
		if err := os.Mkdir(source, 0o755); err != nil {
			return err
		}
		if err := os.Chown(source, int(covered.Uid), int(covered.Gid)); err != nil {
			return err
		}
		if err := unix.Chmod(source, covered.Mode&0o7777); err != nil {
			return err
		}
	}
	return unix.Mount(source, target, "", unix.MS_BIND, "")
}

func (c *Container) put(f engine.File) error {
	dir, err := c.path(filepath.Dir(f.Path))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// Create a new file: never write through a link or into a shared inode.
	name := filepath.Join(dir, filepath.Base(f.Path))
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(name, f.Content, 0o600); err != nil {
		return err
	}
	if err := os.Chown(name, f.UID, f.GID); err != nil {
		return err
	}
	return os.Chmod(name, f.Mode)
}
