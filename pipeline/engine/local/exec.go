package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/engine/environ"
	"github.com/linuxserver/docker-netbox/pipeline/proc"
)

// Exec runs a command in the container and waits for its exit. env is added to the
// container's environment. Secrets are masked in the output.
func (c *Container) Exec(ctx context.Context, command []string, env map[string]string) (stdout, stderr string, code int, err error) {
	fail := func(err error) (string, string, int, error) {
		return "", "", -1, fmt.Errorf("running %s in container %s: %w", command[0], c.spec.Name, err)
	}
	if len(command) == 0 {
		return "", "", -1, fmt.Errorf("running a command in container %s: it is empty", c.spec.Name)
	}
	process, all := c.process, environ.Parse(c.process.Env)
	maps.Copy(all, env)
	process.Args, process.Env = command, all.List()
	data, err := json.Marshal(process)
	if err != nil {
		return fail(err)
	}
	p := c.pod
	pidFile := filepath.Join(c.id, fmt.Sprintf("exec-%d", p.count.Add(1)))
	defer p.files.Remove(pidFile)
	cmd := p.runc(ctx, os.DevNull, "exec", "--process", "/proc/self/fd/0", "--pid-file", pidFile, c.id)
	cmd.Stdin = bytes.NewReader(data)
	cmd.WaitDelay = time.Second
	cmd.Cancel = func() error {
		pid, _ := p.files.ReadFile(pidFile) // a PID in the pod's namespace
		_ = p.in(ofPod, exec.Command("sh", "-c", `kill -9 "$1"`, "sh", string(pid)).Run)
		return cmd.Process.Kill()
	}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err = p.in(ofPod, cmd.Start); err == nil {
		err = cmd.Wait()
	}
	stdout, stderr = p.secrets.Hide(out.String()), p.secrets.Hide(errOut.String())
	if ctx.Err() != nil {
		return fail(context.Cause(ctx))
	}
	if err != nil && !p.has(pidFile) {
		lines := proc.LastLines(stderr, 1)
		if len(lines) == 0 {
			return fail(err)
		}
		return fail(errors.New(lines[0]))
	}
	return stdout, stderr, cmd.ProcessState.ExitCode(), nil
}

// ReadFile reads a file of the container, running or exited, until the pod is
// closed. Files in volumes and tmpfs mounts can be read; /etc/hosts and
// /etc/resolv.conf, which runc mounts, cannot.
func (c *Container) ReadFile(name string) (data []byte, err error) {
	err = c.pod.in(unix.CLONE_NEWNS, func() (err error) {
		// A running container may change symbolic links: they must not lead outside.
		if err = unix.Chroot(c.rootfs()); err == nil {
			data, err = os.ReadFile(filepath.Join("/", name))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading from container %s: %w", c.spec.Name, err)
	}
	return data, nil
}

// capture returns those of the requested files that exist.
func (c *Container) capture() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range c.spec.Capture {
		data, err := c.ReadFile(name)
		switch {
		case err == nil:
			files[name] = data
		case !errors.Is(err, fs.ErrNotExist):
			return files, err
		}
	}
	return files, nil
}
