package local

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/child"
	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

const (
	defaultGrace = 10 * time.Second
	readyPoll    = 80 * time.Millisecond
	// maxLine cuts lines that have no end.
	maxLine = 256 << 10
)

// Container is a container of a pod, running or ended.
type Container struct {
	pod     *Pod
	spec    engine.Container
	config  v1.Config
	foreign bool
	arch    string

	id      string // runc's; also the last part but one of the cgroup
	cgroup  string
	bundle  string // inside the pod's state
	disk    string // upper directory and volumes
	process map[string]any

	began time.Time
	done  chan struct{} // closed at the end; the fields below are set then
	code  int
	fail  error // runc itself failed
	ended time.Time
	peak  int64

	emit   sync.Mutex // one line at a time reaches the listeners
	listen []func(engine.Line)
	mu     sync.Mutex
	lines  []engine.Line
}

var validName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// Start starts a container. It may be called at any time, also with the name
// of one that has ended; each start has a fresh root file system. Ready is not
// waited for: see WaitReady.
func (p *Pod) Start(ctx context.Context, spec engine.Container) (*Container, error) {
	return p.startContainer(ctx, spec, nil)
}

func (p *Pod) startContainer(ctx context.Context, spec engine.Container, onLine func(string, engine.Line)) (*Container, error) {
	c, err := p.prepare(ctx, spec, onLine)
	if err != nil {
		return nil, err
	}
	if err := c.launch(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// prepare does all that comes before the first process.
func (p *Pod) prepare(ctx context.Context, spec engine.Container, onLine func(string, engine.Line)) (*Container, error) {
	if !validName.MatchString(spec.Name) {
		return nil, fmt.Errorf("container %q: a name is letters, digits, dot, dash and underscore", spec.Name)
	}
	if spec.Image == nil {
		return nil, fmt.Errorf("container %s: it has no image", spec.Name)
	}
	if err := p.name(spec.Name); err != nil {
		return nil, fmt.Errorf("container %s: %w", spec.Name, err)
	}
	p.keepSecret(spec.Secrets)
	config, err := spec.Image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("container %s: reading the image's config: %w", spec.Name, err)
	}
	platform := v1.Platform{OS: "linux", Architecture: config.Architecture}
	if foreign(platform) {
		if err := registerEmulator(ctx, p.engine.opts.Log, config.Architecture); err != nil {
			return nil, fmt.Errorf("container %s: %w", spec.Name, err)
		}
	}
	lower, err := p.engine.layers.unpack(ctx, spec.Image)
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", spec.Name, err)
	}
	p.mu.Lock()
	p.count++
	id := fmt.Sprintf("%s-%d", p.id, p.count)
	p.mu.Unlock()
	c := &Container{
		pod: p, spec: spec, config: config.Config, foreign: foreign(platform), arch: config.Architecture,
		id: id, cgroup: filepath.Join(cgroupTop, id),
		bundle: filepath.Join(p.state, id), disk: filepath.Join(p.dir, id),
	}
	if onLine != nil {
		c.listen = append(c.listen, func(l engine.Line) { onLine(spec.Name, l) })
	}
	if err := c.mount(lower); err != nil {
		return nil, fmt.Errorf("container %s: %w", spec.Name, err)
	}
	return c, nil
}

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
	return inMountNamespace(c.pod.mnt, func() error {
		if err := os.MkdirAll(c.rootfs(), 0o755); err != nil {
			return fmt.Errorf("making the root file system: %w", err)
		}
		// Relative names: an option string longer than a page is cut off.
		if err := unix.Chdir(c.pod.engine.dirs.layers); err != nil {
			return fmt.Errorf("making the root file system: %w", err)
		}
		if len(lower) == 0 {
			return errors.New("making the root file system: the image has no layers")
		}
		options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", strings.Join(lower, ":"), upper, work)
		// Nothing of it has to survive a power cut: no flushing to disk.
		err := unix.Mount("overlay", c.rootfs(), "overlay", 0, options+",volatile")
		if errors.Is(err, unix.EINVAL) { // before Linux 5.10
			err = unix.Mount("overlay", c.rootfs(), "overlay", 0, options)
		}
		if err != nil {
			return fmt.Errorf("mounting the root file system: %w; the cache directory must not itself lie on an overlay", err)
		}
		return c.furnish()
	})
}

// furnish runs on a thread inside the pod's mount namespace. Sources of bind
// mounts are opened before the root changes, targets looked up after it, so
// that a symbolic link of the image means what it means inside.
func (c *Container) furnish() error {
	type bind struct {
		fd       int
		path     string
		file     bool
		inherits string // a volume takes over the owner of what it covers
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
			source = filepath.Join(c.disk, fmt.Sprintf("volume-%d", i))
			b.inherits = source
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
	bundle, err := unix.Open(c.bundle, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(bundle)
	if err := unix.Chroot(c.rootfs()); err != nil {
		return fmt.Errorf("entering the root file system: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	// From here on "/" is the container's.
	for _, b := range binds {
		if b.file {
			if err := touch(b.path); err != nil {
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
		if b.inherits != "" {
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
	config, err := c.runtimeConfig()
	if err != nil {
		return err
	}
	data, err := json.Marshal(config)
	if err != nil {
		return err
	}
	return writeAt(bundle, "config.json", data)
}

// writeAt writes a private file into an open directory.
func writeAt(dir int, name string, data []byte) error {
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

func touch(name string) error {
	if err := os.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if info, err := os.Lstat(name); err == nil && !info.Mode().IsRegular() {
		if err := os.Remove(name); err != nil { // a link to something that is not here
			return err
		}
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
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

// launch starts the container's first process.
func (c *Container) launch(ctx context.Context) error {
	p := c.pod
	pidFile := filepath.Join(c.bundle, "pid-"+c.id)
	logFile := filepath.Join(c.bundle, "runc-"+c.id+".log")
	args := append(p.nsenter(), p.engine.tools.runc, "--root", filepath.Join(p.state, "runc"),
		"--log", logFile, "--log-format", "json",
		"run", "--bundle", c.bundle, "--pid-file", pidFile, c.id)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = []string{"PATH=" + p.engine.env["PATH"]}
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	stdout, outWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	stderr, errWrite, err := os.Pipe()
	if err != nil {
		stdout.Close()
		outWrite.Close()
		return err
	}
	cmd.Stdout, cmd.Stderr = outWrite, errWrite
	c.done = make(chan struct{})
	c.began = time.Now()

	p.mu.Lock()
	if p.closed {
		err = errors.New("the pod is closed")
	} else {
		err = cmd.Start()
	}
	outWrite.Close()
	errWrite.Close()
	if err != nil {
		p.mu.Unlock()
		stdout.Close()
		stderr.Close()
		return fmt.Errorf("starting container %s: %w", c.spec.Name, err)
	}
	p.containers = append(p.containers, c)
	p.mu.Unlock()

	var readers sync.WaitGroup
	readers.Go(func() { c.read("stdout", stdout) })
	readers.Go(func() { c.read("stderr", stderr) })
	go func() {
		err := cmd.Wait()
		readers.Wait()
		c.ended = time.Now()
		c.code = cmd.ProcessState.ExitCode()
		if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			c.code = 128 + int(ws.Signal())
		}
		if err != nil {
			if _, started := c.inside(pidFile); !started {
				c.fail = c.runcError(logFile)
			}
		}
		c.peak = peakMemory(c.cgroup)
		close(c.done)
	}()
	// Started is what runc says it is.
	for {
		if _, started := c.inside(pidFile); started {
			return nil
		}
		select {
		case <-c.done:
			return c.fail
		case <-ctx.Done():
			_ = cmd.Process.Kill()
			return fmt.Errorf("starting container %s: %w", c.spec.Name, context.Cause(ctx))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// inside reads a file of the pod's mount namespace; false when it is empty or
// absent. From within: below /proc/PID/root an absolute symbolic link on the
// way, such as a cache moved to another disk, would lead out again.
func (c *Container) inside(name string) (data []byte, found bool) {
	err := inMountNamespace(c.pod.mnt, func() (err error) {
		data, err = os.ReadFile(name)
		return err
	})
	return data, err == nil && len(data) > 0
}

// runcError finds why runc could not start the container.
func (c *Container) runcError(logFile string) error {
	data, _ := c.inside(logFile)
	why := "runc ended"
	for line := range bytes.Lines(data) {
		var entry struct{ Level, Msg string }
		if json.Unmarshal(line, &entry) == nil && entry.Level == "error" {
			why = entry.Msg
		}
	}
	if why == "runc ended" {
		if lines := c.Lines(); len(lines) > 0 {
			why += ": " + lines[len(lines)-1].Text
		}
	}
	return fmt.Errorf("starting container %s: %s", c.spec.Name, c.pod.secrets.Hide(why))
}

func (c *Container) read(stream string, r io.ReadCloser) {
	defer r.Close()
	br := bufio.NewReaderSize(r, maxLine)
	for {
		text, err := br.ReadSlice('\n')
		if len(text) > 0 {
			c.add(engine.Line{
				At:     time.Since(c.began),
				Stream: stream,
				Text:   c.pod.secrets.Hide(strings.TrimRight(string(text), "\r\n")),
			})
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

func (c *Container) add(line engine.Line) {
	c.emit.Lock()
	defer c.emit.Unlock()
	c.mu.Lock()
	c.lines = append(c.lines, line)
	c.mu.Unlock()
	for _, f := range c.listen {
		f(line)
	}
}

// OnLine calls f for each line written so far and then for each further one,
// one at a time. f must not call OnLine.
func (c *Container) OnLine(f func(engine.Line)) {
	c.emit.Lock()
	defer c.emit.Unlock()
	for _, l := range c.Lines() {
		f(l)
	}
	c.listen = append(c.listen, f)
}

// Lines gives what the container has written so far.
func (c *Container) Lines() []engine.Line {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lines)
}

// Name is the container's name in its pod.
func (c *Container) Name() string { return c.spec.Name }

// Started is when the container was started.
func (c *Container) Started() time.Time { return c.began }

// Ended is when it ended; only after Wait has returned without error.
func (c *Container) Ended() time.Time {
	select {
	case <-c.done:
		return c.ended
	default:
		return time.Time{}
	}
}

// PeakMemory is the most memory it held, page cache included, in bytes; 0
// before its end and when the kernel does not account for it.
func (c *Container) PeakMemory() int64 {
	select {
	case <-c.done:
		return c.peak
	default:
		return 0
	}
}

// Done is closed when the container has ended and its last line is read.
func (c *Container) Done() <-chan struct{} { return c.done }

// Wait waits for the end and gives the exit code, 128+n after signal n.
func (c *Container) Wait(ctx context.Context) (int, error) {
	select {
	case <-c.done:
		return c.code, c.fail
	case <-ctx.Done():
		return -1, fmt.Errorf("waiting for container %s: %w", c.spec.Name, context.Cause(ctx))
	}
}

// WaitReady runs the container's Ready command until it exits 0. It fails at
// the container's end and at the context's.
func (c *Container) WaitReady(ctx context.Context) error {
	if len(c.spec.Ready) == 0 {
		return nil
	}
	last := ""
	for {
		_, stderr, code, err := c.Exec(ctx, c.spec.Ready, nil)
		if err == nil && code == 0 {
			return nil
		}
		if err == nil {
			if lines := child.LastLines(stderr, 1); len(lines) == 1 {
				last = fmt.Sprintf("; its ready command says: %s", lines[0])
			}
		}
		select {
		case <-c.done:
			return fmt.Errorf("container %s: ended with code %d before it was ready%s", c.spec.Name, c.code, lastWords(c.Lines()))
		case <-ctx.Done():
			return fmt.Errorf("container %s: not ready: %w%s%s", c.spec.Name, context.Cause(ctx), last, lastWords(c.Lines()))
		case <-time.After(readyPoll):
		}
	}
}

// Signal sends a signal to the container's first process.
func (c *Container) Signal(sig unix.Signal) error {
	pid, err := c.PID()
	if err == nil {
		err = unix.Kill(pid, sig)
	}
	if err != nil {
		return fmt.Errorf("sending %s to container %s: %w", unix.SignalName(sig), c.spec.Name, err)
	}
	return nil
}

// Kill kills the container's first process, and the kernel the others.
func (c *Container) Kill() error { return c.Signal(unix.SIGKILL) }

// Stop sends SIGTERM, waits for StopGrace, then kills; it gives the exit code.
func (c *Container) Stop(ctx context.Context) (int, error) {
	grace := c.spec.StopGrace
	if grace == 0 {
		grace = defaultGrace
	}
	_ = c.Signal(unix.SIGTERM) // fails when it has ended
	select {
	case <-c.done:
		return c.code, c.fail
	case <-ctx.Done():
	case <-time.After(grace):
	}
	_ = c.Kill()
	return c.Wait(ctx)
}

// Restart starts an ended container again on the root file system it left, as
// `docker restart` does. Lines and figures of the new one start empty.
func (c *Container) Restart(ctx context.Context) (*Container, error) {
	select {
	case <-c.done:
	default:
		return nil, fmt.Errorf("restarting container %s: it still runs", c.spec.Name)
	}
	again := &Container{pod: c.pod, spec: c.spec, config: c.config, foreign: c.foreign, arch: c.arch,
		id: c.id, cgroup: c.cgroup, bundle: c.bundle, disk: c.disk, process: c.process}
	err := inMountNamespace(c.pod.mnt, func() error {
		return os.Remove(filepath.Join(c.bundle, "pid-"+c.id))
	})
	if err != nil {
		return nil, fmt.Errorf("restarting container %s: %w", c.spec.Name, err)
	}
	if err := again.launch(ctx); err != nil {
		return nil, err
	}
	return again, nil
}

// Process is a process of a container, as this machine sees it.
type Process struct {
	PID     int // on this machine
	Inside  int // in the container
	UID     int
	State   string // as in /proc: R, S, Z, …
	Command string // its arguments, or its name when it has none
}

// PID gives the machine's number of the container's first process.
func (c *Container) PID() (int, error) {
	for _, p := range c.Processes() {
		if p.Inside == 1 {
			return p.PID, nil
		}
	}
	return 0, fmt.Errorf("container %s has no first process: %w", c.spec.Name, unix.ESRCH)
}

// Processes lists the processes of the container.
func (c *Container) Processes() []Process {
	entries, _ := os.ReadDir("/proc")
	var found []Process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		dir := filepath.Join("/proc", entry.Name())
		if cgroups, err := os.ReadFile(filepath.Join(dir, "cgroup")); err != nil || !bytes.Contains(cgroups, []byte(c.cgroup+"/")) {
			continue
		}
		if p, ok := readProcess(pid, dir); ok {
			found = append(found, p)
		}
	}
	return found
}

func readProcess(pid int, dir string) (Process, bool) {
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return Process{}, false
	}
	p := Process{PID: pid}
	levels := 0
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		f := strings.Fields(value)
		if len(f) == 0 {
			continue
		}
		switch key {
		case "Name":
			p.Command = f[0]
		case "State":
			p.State = f[0]
		case "Uid":
			p.UID, _ = strconv.Atoi(f[1])
		case "NSpid":
			p.Inside, _ = strconv.Atoi(f[len(f)-1])
			levels = len(f)
		}
	}
	if cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil && len(cmdline) > 0 {
		p.Command = strings.TrimSpace(string(bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '})))
	}
	// runc on its way in: the pod's namespace, not yet the container's.
	return p, levels > 2 || p.State == "Z"
}

// Exec runs a command in the container and waits for it. env is added to the
// container's. Output is masked as lines are.
func (c *Container) Exec(ctx context.Context, command []string, env map[string]string) (stdout, stderr string, code int, err error) {
	fail := func(err error) (string, string, int, error) {
		return "", "", -1, fmt.Errorf("running %s in container %s: %w", command[0], c.spec.Name, err)
	}
	if len(command) == 0 {
		return "", "", -1, fmt.Errorf("running a command in container %s: it is empty", c.spec.Name)
	}
	process := map[string]any{}
	for k, v := range c.process {
		process[k] = v
	}
	process["args"] = command
	process["env"] = mergeEnv(c.process["env"].([]string), env)
	data, err := json.Marshal(process)
	if err != nil {
		return fail(err)
	}
	p := c.pod
	p.mu.Lock()
	p.count++
	name := fmt.Sprintf("exec-%d", p.count)
	p.mu.Unlock()
	files := struct{ spec, pid, log string }{
		filepath.Join(c.bundle, name+".json"), filepath.Join(c.bundle, name+".pid"), filepath.Join(c.bundle, name+".log"),
	}
	err = inMountNamespace(p.mnt, func() error { return os.WriteFile(files.spec, data, 0o600) })
	if err != nil {
		return fail(err)
	}
	defer func() {
		_ = inMountNamespace(p.mnt, func() error {
			for _, f := range []string{files.spec, files.pid, files.log} {
				os.Remove(f)
			}
			return nil
		})
	}()
	args := append(p.nsenter(), p.engine.tools.runc, "--root", filepath.Join(p.state, "runc"),
		"--log", files.log, "--log-format", "json", "exec", "--process", files.spec, "--pid-file", files.pid, c.id)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = []string{"PATH=" + p.engine.env["PATH"]}
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	cmd.Cancel = func() error {
		c.killInside(files.pid)
		return cmd.Process.Kill()
	}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	stdout, stderr = p.secrets.Hide(out.String()), p.secrets.Hide(errOut.String())
	if ctx.Err() != nil {
		return fail(context.Cause(ctx))
	}
	if _, started := c.inside(files.pid); err != nil && !started {
		lines := child.LastLines(stderr, 1)
		if len(lines) == 0 {
			return fail(err)
		}
		return fail(errors.New(lines[0]))
	}
	return stdout, stderr, cmd.ProcessState.ExitCode(), nil
}

// killInside kills the process whose number in the pod is in a file.
func (c *Container) killInside(pidFile string) {
	data, ok := c.inside(pidFile)
	if !ok {
		return
	}
	for _, p := range c.Processes() {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
		for line := range strings.Lines(string(status)) {
			// NSpid: here, in the pod, in the container.
			if f := strings.Fields(line); len(f) >= 3 && f[0] == "NSpid:" && f[len(f)-2] == strings.TrimSpace(string(data)) {
				_ = unix.Kill(p.PID, unix.SIGKILL)
			}
		}
	}
}

// ReadFile reads a file of the container, running or ended, up to the pod's
// end: mounted volumes and temporary file systems included.
func (c *Container) ReadFile(name string) (data []byte, err error) {
	err = c.inRoot(func() error {
		data, err = os.ReadFile(name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading from container %s: %w", c.spec.Name, err)
	}
	return data, nil
}

// inRoot runs fn with the container's root as its own.
func (c *Container) inRoot(fn func() error) error {
	return inMountNamespace(c.pod.mnt, func() error {
		if err := unix.Chroot(c.rootfs()); err != nil {
			return err
		}
		if err := unix.Chdir("/"); err != nil {
			return err
		}
		return fn()
	})
}

// capture brings back the files asked for, as far as they are there.
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
