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

// carrierMost bounds the disk file, which grows as it is filled: buildkitd
// keeps 16 GB at most.
const carrierMost = 24 << 30

// Settle finds out whether this machine lets the engine work, and says in one
// line what it does not. Where the cache lies on a file system that can carry
// no overlay, as in a container whose home is no volume, a disk file in the
// cache carries them, or memory where there are no loop devices.
//
// What is mounted for that is mounted in a namespace that ends with this
// process, however it ends. For all of the program to be in it, the program
// starts again: restart is called with the namespace in force and replaces it,
// as unix.Exec of itself does. The second time there is nothing left to do.
func (e *Engine) Settle(ctx context.Context, log io.Writer, restart func() error) error {
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
			// As in a chroot that was given /sys without what is mounted in it.
			if err := unix.Mount("cgroup2", cgroupMount, "cgroup2", 0, ""); err != nil {
				return failure.Usagef("mounting the control groups: %w: mount them: mount --rbind /sys/fs/cgroup on that of this root", err)
			}
		}
		if err != nil {
			if err := e.mountCarrier(ctx, log); err != nil {
				return err
			}
			if err := e.probeOverlays(); err != nil {
				return fmt.Errorf("mounting a file system for overlays at %s: %w", e.carrier(), err)
			}
		}
		return restart()
	})
}

func (e *Engine) carrier() string { return filepath.Join(filepath.Dir(e.dirs.layers), "carrier") }

// carried are the directories that hold upper or lower directories of overlays.
func (e *Engine) carried() []string { return []string{e.dirs.state, e.dirs.layers, e.dirs.run} }

// probeOverlays tries an overlay in each directory that will hold one, with
// mounts that only the calling thread sees.
func (e *Engine) probeOverlays() error {
	for _, dir := range e.carried() {
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

// tryOverlay does in dir what images need of an overlay: what marks a file or
// a directory as gone, below and above.
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

// mountCarrier mounts a file system that carries overlays, for the calling
// thread's namespace, and lays the directories of the cache that need it over
// those that do not do. Nothing of it is seen outside.
func (e *Engine) mountCarrier(ctx context.Context, log io.Writer) error {
	dir := e.carrier()
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
	for _, over := range e.carried() {
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

// mountDisk mounts the ext4 file system in a file, which is made when absent.
func (e *Engine) mountDisk(ctx context.Context, log io.Writer, file, dir string) error {
	unlock, err := filelock.Lock(ctx, file+".lock", filelock.Exclusive, "the disk file "+file, e.opts.LockWait, log)
	if err != nil {
		return err
	}
	defer unlock()
	if damaged(file) {
		// As when the disk below was full: what is in it is made again.
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
	if err := loopNodes(); err != nil {
		return err
	}
	// mount attaches the file to one loop device for all processes that use it: two
	// would each write their own file system over it. The device ends with the last
	// mount.
	cmd := exec.CommandContext(ctx, "mount", "-n", "-t", "ext4", "-o", "loop,noatime,discard", file, dir)
	if err := proc.Run(ctx, cmd); err != nil {
		return fmt.Errorf("mounting %s: %w: if it is damaged, remove it", file, err)
	}
	return promise(dir, below)
}

// promise keeps a disk file from promising more than the file system below it
// has free: what is written to it then would be lost without anyone noticing.
// The rest is taken by a file in it, which costs nothing below.
func promise(dir string, below int64) error {
	ballast, err := os.Create(filepath.Join(dir, "ballast")) // made empty: all of it counts as free
	if err != nil {
		return err
	}
	defer ballast.Close()
	free, _, err := freeSpace(dir)
	if err != nil {
		return err
	}
	// What is beside the disk file grows too.
	if much := free - max(below-needRest, below/2); much > 0 {
		if err := unix.Fallocate(int(ballast.Fd()), 0, 0, much); err != nil {
			return fmt.Errorf("limiting the disk file mounted at %s: %w", dir, err)
		}
	}
	return nil
}

// damaged says whether ext4 has noted an error in a file system.
func damaged(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	var state [2]byte
	_, err = f.ReadAt(state[:], 1024+0x3a)
	return err == nil && state[0]&2 != 0
}

// makeDisk makes the file system, whole or not at all.
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
	if err := errors.Join(f.Truncate(carrierMost), f.Close()); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", "-i", "8192", "-E", "lazy_itable_init=1,lazy_journal_init=1", part)
	if err := proc.Run(ctx, cmd); err != nil {
		return fmt.Errorf("making a file system in %s: %w", part, err)
	}
	return os.Rename(part, file)
}

// loopNodes makes the loop devices that /dev lacks: a container's has those that
// there were when it started. One of them is free.
func loopNodes() error {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("finding a loop device: %w", err)
	}
	defer control.Close()
	if _, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE); err != nil {
		return fmt.Errorf("finding a free loop device: %w", err)
	}
	known, _ := filepath.Glob("/sys/block/loop*") // fails for a bad pattern only
	for _, dir := range known {
		n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), "loop"))
		if err == nil { // if it is missing in the end, mount says so
			_ = unix.Mknod(fmt.Sprintf("/dev/loop%d", n), unix.S_IFBLK|0o600, int(unix.Mkdev(7, uint32(n))))
		}
	}
	return nil
}

// fileSystem names the kind of file system that a directory lies on.
func fileSystem(dir string) string {
	out, _ := exec.Command("findmnt", "--noheadings", "--output", "FSTYPE", "--target", dir).Output()
	kinds := strings.Fields(string(out))
	if len(kinds) == 0 {
		return "a file system"
	}
	return kinds[len(kinds)-1] // the topmost of those that lie over each other
}
