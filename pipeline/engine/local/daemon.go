package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/filelock"
	"github.com/linuxserver/docker-netbox/pipeline/proc"
)

// keepStorage limits buildkitd's cache, in MB: the minimum to keep, the minimum to
// leave free on the disk, and the maximum to use.
const keepStorage = "4000,4000,16000"

// daemon is the build daemon. The first build starts it, concurrent builds share
// it, and the last one stops it, since another process may be waiting for the
// lock of the state.
type daemon struct {
	engine *Engine

	mu     sync.Mutex
	users  int
	unlock func()     // nil when it is stopped
	state  *os.File   // buildkitd's working directory, which has its socket, "sock"
	run    *namespace // nil when it is stopped
}

// acquire starts the daemon if necessary and returns its address. The caller must
// call release.
func (d *daemon) acquire(ctx context.Context, log io.Writer) (addr string, err error) {
	began := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if w, ok := log.(filelock.Waiter); ok { // another build of this process waited for the lock
		w.Waited(time.Since(began))
	}
	if d.run != nil {
		select {
		case <-d.run.done: // it has exited since
			d.stop()
		default:
		}
	}
	if d.run == nil {
		if err := d.start(ctx, log); err != nil {
			d.stop()
			return "", err
		}
	}
	d.users++
	return "unix://" + d.socket(), nil
}

func (d *daemon) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users--; d.users == 0 {
		d.stop()
	}
}

func (d *daemon) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stop()
}

// stop stops the daemon, also one that failed to start. The mutex must be held.
func (d *daemon) stop() {
	if d.run != nil {
		d.run.end() // namespaceScript enforces the deadline
	}
	if d.state != nil {
		os.Remove(d.socket())
		d.state.Close()
	}
	if d.unlock != nil {
		d.unlock()
	}
	d.run, d.state, d.unlock = nil, nil, nil
}

// socket returns a path of buildkitd's socket for this process and its children.
// It is short even if the path of the cache is long: a socket's path is limited
// to 107 characters.
func (d *daemon) socket() string {
	return fmt.Sprintf("/proc/%d/fd/%d/sock", os.Getpid(), d.state.Fd())
}

// start starts buildkitd and waits until it answers.
func (d *daemon) start(ctx context.Context, log io.Writer) (err error) {
	e := d.engine
	if d.unlock, err = filelock.Lock(ctx, filepath.Join(e.dirs.state, "lock"), filelock.Exclusive, "the build cache", e.opts.LockWait, log); err != nil {
		return err
	}
	cgroup := e.id + "-build"
	// Temporary files that BuildKit leaves behind go with the namespace.
	tmp := filepath.Join(e.dirs.state, "tmp")
	config := filepath.Join(e.dirs.state, "buildkitd.toml")
	text := fmt.Sprintf("[worker.oci]\n  defaultCgroupParent = %q\n", filepath.Join(cgroupTop, cgroup))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return fmt.Errorf("configuring buildkitd: %w", err)
	}
	if d.state, err = os.Open(e.dirs.state); err != nil {
		return fmt.Errorf("starting buildkitd: %w", err)
	}
	os.Remove(d.socket())

	// When this process is killed, its lock is released at once, but its daemon takes
	// a moment longer to exit. daemon.lock is held until then.
	cmd := exec.Command("sh", "-c", namespaceScript, "buildkitd-ns", cgroup, tmp, "flock", "--no-fork", "daemon.lock", e.tools.buildkitd,
		"--config", config, "--root", filepath.Join(e.dirs.state, "root"), "--addr", "unix://sock",
		"--containerd-worker=false", "--oci-worker=true", "--oci-worker-snapshotter=overlayfs",
		"--oci-worker-binary="+e.tools.runc, "--oci-worker-net=host",
		"--oci-worker-gc=true", "--oci-worker-gc-keepstorage="+keepStorage)
	cmd.Dir, cmd.Env = e.dirs.state, append(d.environ(), "TMPDIR="+tmp)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if d.run, err = startNamespace(cmd, unix.CLONE_NEWPID); err != nil {
		return fmt.Errorf("starting buildkitd: %w", err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		conn, err := net.Dial("unix", d.socket())
		if err == nil {
			conn.Close()
			return nil
		}
		select {
		case <-d.run.done:
			err = errors.New("it ended")
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
			if time.Now().Before(deadline) {
				continue
			}
			err = fmt.Errorf("no answer on %s", filepath.Join(e.dirs.state, "sock"))
		}
		d.run.end()
		return fmt.Errorf("starting buildkitd: %w: %s", err, strings.Join(proc.LastLines(out.String(), 3), "; "))
	}
}

// environ returns only the variables that a pull needs: those of the proxy and
// the CA.
func (d *daemon) environ() (environ []string) {
	for k, v := range d.engine.env {
		switch strings.ToUpper(k) {
		case "PATH", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR":
			environ = append(environ, k+"="+v)
		}
	}
	return environ
}
