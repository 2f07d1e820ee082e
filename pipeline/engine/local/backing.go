package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/filelock"
	"github.com/linuxserver/docker-netbox/pipeline/proc"
)

// backingMaxSize limits the disk file, which is sparse: buildkitd keeps at most
// 16 GB.
const backingMaxSize = 24 << 30

// Prepare checks whether the engine can work on this machine; the error names in
// one line what is missing. Some file systems do not support overlays, such as
// that of a container whose home is not a volume. If the cache is on one, Prepare
// mounts a backing file system over the directories that hold overlays: an ext4
// disk file in the cache, or a tmpfs where there are no loop devices.
//
// The mounts are made in a mount namespace that ends with this process, even on a
// kill. The whole program must run in that namespace, so Prepare calls restart on a
// thread in it, which must replace the process with the same program, as unix.Exec
// does. In the restarted program Prepare has nothing left to mount.
func (e *Engine) Prepare(ctx context.Context, log io.Writer, restart func() error) error {
	if err := e.permitted(); err != nil {
		return err
	}
	return onThread(func() error {
		if err := privateMounts(); err != nil {
			return err
		}
		chrooted, err := leaveChroot()
		if err != nil {
			return fmt.Errorf("making the root directory that of the namespace: %w", err)
		}
		grouped := len(hierarchies(cgroupMount)) > 0
		err = e.probeOverlays()
		switch {
		case err == nil && grouped && !chrooted:
			return e.watchSpace(log)
		case err != nil && !errors.Is(err, errNoOverlay):
			return err
		}
		if !grouped {
			// For example in a chroot with /sys but without the mounts below it.
			if err := unix.Mount("cgroup2", cgroupMount, "cgroup2", 0, ""); err != nil {
				return failure.Usagef("mounting the control groups: %w: mount them: mount --rbind /sys/fs/cgroup on that of this root", err)
			}
		}
		if err != nil {
			if err := e.mountBacking(ctx, log); err != nil {
				return err
			}
			if err := e.probeOverlays(); err != nil {
				return fmt.Errorf("mounting a file system for overlays at %s: %w", e.backingDir(), err)
			}
		}
		return restart()
	})
}

func (e *Engine) backingDir() string { return filepath.Join(filepath.Dir(e.dirs.layers), "carrier") }

// overlayDirs returns the directories that hold upper or lower directories of overlays.
func (e *Engine) overlayDirs() []string { return []string{e.dirs.state, e.dirs.layers, e.dirs.run} }

// probeOverlays tests an overlay in each directory that will hold one. The mounts
// are visible to the calling thread only.
func (e *Engine) probeOverlays() error {
	for _, dir := range e.overlayDirs() {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making the cache: %w", err)
		}
		probe, err := os.MkdirTemp(dir, ".probe-")
		if err != nil {
			return fmt.Errorf("making the cache: %w", err)
		}
		err = tryOverlay(probe)
		if removed := os.RemoveAll(probe); removed != nil {
			return removed
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errNoOverlay, err)
		}
	}
	return nil
}

var errNoOverlay = errors.New("no overlay can be mounted")

// tryOverlay tests in dir what image layers need of an overlay: whiteouts and
// opaque directories, in lower directories and in the upper one.
func tryOverlay(dir string) error {
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"lower", "lower/opaque", "upper", "work", "merged"} {
		if err := os.Mkdir(at(name), 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(at("lower/file"), nil, 0o644); err != nil {
		return err
	}
	if err := unix.Mknod(at("lower/gone"), unix.S_IFCHR, 0); err != nil {
		return err
	}
	if err := unix.Setxattr(at("lower/opaque"), "trusted.overlay.opaque", []byte("y"), 0); err != nil {
		return err
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", at("lower"), at("upper"), at("work"))
	if err := unix.Mount("overlay", at("merged"), "overlay", 0, options); err != nil {
		return err
	}
	defer unix.Unmount(at("merged"), unix.MNT_DETACH)
	return os.Remove(at("merged/file"))
}

// mountBacking mounts a file system that supports overlays and bind-mounts its
// directories over those of the cache that need it. The mounts are visible in the
// calling thread's namespace only.
func (e *Engine) mountBacking(ctx context.Context, log io.Writer) error {
	dir := e.backingDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the cache: %w", err)
	}
	why := fmt.Sprintf("cache: %s lies on %s, which carries no overlays", filepath.Dir(dir), fileSystem(dir))
	file := dir + ".ext4"
	diskErr := e.mountDisk(ctx, log, file, dir)
	switch {
	case diskErr == nil:
		free, total, err := freeSpace(dir)
		if err != nil {
			return err
		}
		fmt.Fprintf(log, "%s: builds and containers are kept in the disk file %s, of %s at most, %s of it free\n", why, file, size(total), size(free))
	case ctx.Err() != nil || failure.ExitCode(diskErr) == failure.ExitUsage:
		return diskErr
	default:
		free, err := availableMemory()
		if need := int64(needFirst - needRest); err != nil || free < need {
			return failure.Usagef("%s; neither a disk file can carry it (%w) nor memory (%s free, %s needed): put the cache on a volume: docker run -v netbox-cache:%s …",
				why, diskErr, size(free), size(need), filepath.Dir(filepath.Dir(filepath.Dir(dir))))
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOATIME, fmt.Sprintf("mode=0700,nr_inodes=0,size=%d", free*3/4)); err != nil {
			return fmt.Errorf("mounting a tmpfs at %s: %w", dir, err)
		}
		fmt.Fprintf(log, "%s: builds and containers are kept in memory, %s at most, and made again by each run, since no disk file can be mounted (%v)\n", why, size(free*3/4), diskErr)
	}
	for _, over := range e.overlayDirs() {
		from := filepath.Join(dir, filepath.Base(over))
		if err := errors.Join(os.MkdirAll(from, 0o755), os.MkdirAll(over, 0o755)); err != nil {
			return fmt.Errorf("making the cache: %w", err)
		}
		if err := unix.Mount(from, over, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting %s over %s: %w", from, over, err)
		}
	}
	return nil
}

// mountDisk mounts the ext4 file system in a file, and creates the file if it does
// not exist.
func (e *Engine) mountDisk(ctx context.Context, log io.Writer, file, dir string) error {
	unlock, err := filelock.Lock(ctx, file+".lock", filelock.Exclusive, "the disk file "+file, e.opts.LockWait, log)
	if err != nil {
		return err
	}
	defer unlock()
	if hasErrors(file) {
		// For example after the underlying disk was full. The content is only a cache.
		fmt.Fprintf(log, "cache: making the disk file %s again, in which writing has failed\n", file)
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	if !isFile(file) {
		if err := makeDisk(ctx, log, file); err != nil {
			return err
		}
	}
	below, _, err := freeSpace(filepath.Dir(file))
	if err != nil {
		return err
	}
	if err := install(ctx, log, missing(need{"mount", []string{"mount"}})); err != nil {
		return err
	}
	// All processes must share one loop device of the file, which mount sees to: with
	// two, each would overwrite the other's changes. The device is detached with the
	// last mount. Another program may take the free device before mount does: the next
	// one may need a node, too.
	for range 3 {
		if err := loopNodes(); err != nil {
			return err
		}
		if err = proc.Run(ctx, exec.CommandContext(ctx, "mount", "-n", "-t", "ext4", "-o", "loop,noatime,discard", file, dir)); err == nil {
			return reserve(dir, below)
		}
	}
	return fmt.Errorf("mounting %s: %w: if it is damaged, remove it", file, err)
}

// reserve limits the free space of a disk file to what the underlying file system
// has free: writes beyond that would be lost without an error. The excess is
// allocated to a ballast file, which takes no space in the underlying file system.
func reserve(dir string, below int64) error {
	ballast, err := os.Create(filepath.Join(dir, "ballast")) // truncated, so that it counts as free
	if err != nil {
		return err
	}
	defer ballast.Close()
	free, _, err := freeSpace(dir)
	if err != nil {
		return err
	}
	// Other files beside the disk file grow too.
	if much := free - max(below-needRest, below/2); much > 0 {
		if err := unix.Fallocate(int(ballast.Fd()), 0, 0, much); err != nil {
			return fmt.Errorf("limiting the disk file mounted at %s: %w", dir, err)
		}
	}
	return nil
}

// hasErrors reports whether ext4 has recorded an error in the file system's
// superblock.
func hasErrors(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	var state [2]byte
	_, err = f.ReadAt(state[:], 1024+0x3a)
	return err == nil && state[0]&2 != 0
}

// makeDisk creates the disk file with its file system, atomically.
func makeDisk(ctx context.Context, log io.Writer, file string) error {
	if err := install(ctx, log, missing(need{"e2fsprogs", []string{"mkfs.ext4"}})); err != nil {
		return err
	}
	part := file + ".part"
	defer os.Remove(part)
	f, err := os.Create(part)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(backingMaxSize), f.Close()); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", "-i", "8192", "-E", "lazy_itable_init=1,lazy_journal_init=1", part)
	if err := proc.Run(ctx, cmd); err != nil {
		return fmt.Errorf("making a file system in %s: %w", part, err)
	}
	return os.Rename(part, file)
}

// loopNodes creates the nodes of loop devices that /dev lacks, including that of a
// free one: a container's /dev has only those that existed when it started.
func loopNodes() error {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("finding a loop device: %w", err)
	}
	defer control.Close()
	if _, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE); err != nil {
		return fmt.Errorf("finding a free loop device: %w", err)
	}
	known, _ := filepath.Glob("/sys/block/loop*") // fails only for a bad pattern
	for _, dir := range known {
		n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), "loop"))
		if err == nil { // if a node is still missing, mount reports it
			_ = unix.Mknod(fmt.Sprintf("/dev/loop%d", n), unix.S_IFBLK|0o600, int(unix.Mkdev(7, uint32(n))))
		}
	}
	return nil
}

// fileSystem returns the type of the file system that a directory is on.
func fileSystem(dir string) string {
	out, _ := exec.Command("findmnt", "--noheadings", "--output", "FSTYPE", "--target", dir).Output()
	kinds := strings.Fields(string(out))
	if len(kinds) == 0 {
		return "a file system"
	}
	return kinds[len(kinds)-1] // the topmost mount
}
