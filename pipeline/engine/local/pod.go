package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/filelock"
	"github.com/linuxserver/docker-netbox/pipeline/secret"
)

// holderScript is the first process of a pod. It holds the namespaces, reaps
// orphans, and ends when its standard input closes.
const holderScript = `mount -t proc proc /proc || exit 125
exec 3<&0
cat <&3 >/dev/null 3<&- &
exec 3<&-
echo ready
wait $!` + endScript

// Pod is a set of containers that share a private network, in which each is
// known by its name. By default there is no way out of it. All that belongs to
// a pod ends with Close, or with this process.
type Pod struct {
	engine *Engine
	id     string
	dir    string // on disk: upper directories and volumes
	state  string // inside: a tmpfs that only the pod's namespace sees, for all that is secret
	opts   podOptions

	caps    []string // capabilities a container gets
	unified bool     // the machine has cgroup v2 alone

	unlock  func()
	holder  *exec.Cmd
	stdin   io.Closer
	ended   chan struct{} // closed when the holder is gone
	mnt     *os.File
	netns   *os.File
	secrets secret.Mask

	mu         sync.Mutex
	closed     bool
	count      int
	names      []string
	containers []*Container
}

type podOptions struct {
	hostNetwork bool
	sysctls     map[string]string
}

// PodOption changes how a pod is made.
type PodOption func(*podOptions)

// HostNetwork gives the pod the machine's own network, loopback included,
// instead of a private one.
func HostNetwork() PodOption { return func(o *podOptions) { o.hostNetwork = true } }

// Sysctl sets a network setting of the pod, such as
// net.ipv6.conf.all.disable_ipv6.
func Sysctl(name, value string) PodOption {
	return func(o *podOptions) { o.sysctls[name] = value }
}

// podSet knows the pods that are open.
type podSet struct {
	mu    sync.Mutex
	swept bool
	count int
	open  map[*Pod]bool
}

func (s *podSet) close() error {
	s.mu.Lock()
	var open []*Pod
	for p := range s.open {
		open = append(open, p)
	}
	s.mu.Unlock()
	var errs []error
	for _, p := range open {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// lockRun keeps processes that sweep from those that are just making a pod,
// whose directory looks abandoned until its own lock is taken.
func (e *Engine) lockRun(ctx context.Context, mode filelock.Mode) (unlock func(), err error) {
	return filelock.Lock(ctx, e.dirs.run+".lock", mode, "the directory of the pods", time.Minute, e.opts.Log)
}

// sweepPods removes what pods of processes that were killed left on disk.
func (e *Engine) sweepPods(ctx context.Context) {
	e.pods.mu.Lock()
	defer e.pods.mu.Unlock()
	if e.pods.swept {
		return
	}
	unlockRun, err := e.lockRun(ctx, filelock.Exclusive)
	if err != nil {
		return // the next process sweeps
	}
	defer unlockRun()
	e.pods.swept = true
	entries, _ := os.ReadDir(e.dirs.run)
	for _, entry := range entries {
		dir := filepath.Join(e.dirs.run, entry.Name())
		if unlock, err := filelock.Try(filepath.Join(dir, "lock"), filelock.Exclusive); err == nil {
			sweepCgroups(filepath.Join(cgroupTop, entry.Name()+"-*"))
			os.RemoveAll(dir)
			unlock()
		}
	}
	sweepDead()
}

// NewPod makes an empty pod. The caller closes it.
func (e *Engine) NewPod(ctx context.Context, options ...PodOption) (_ *Pod, err error) {
	if err := e.ensureTools(ctx); err != nil {
		return nil, err
	}
	e.sweepPods(ctx)
	// As Docker has it: a service need not be root for a low port.
	opts := podOptions{sysctls: map[string]string{"net.ipv4.ip_unprivileged_port_start": "0"}}
	p := &Pod{engine: e, opts: opts, caps: availableCapabilities(), unified: isFile(filepath.Join(cgroupMount, "cgroup.controllers")),
		ended: make(chan struct{})}
	for _, o := range options {
		o(&p.opts)
	}
	e.pods.mu.Lock()
	e.pods.count++
	p.id = fmt.Sprintf("%s-%d", e.id, e.pods.count)
	e.pods.mu.Unlock()
	p.dir = filepath.Join(e.dirs.run, p.id)
	p.state = filepath.Join(p.dir, "state")
	unlockRun, err := e.lockRun(ctx, filelock.Shared)
	if err != nil {
		return nil, fmt.Errorf("making a pod: %w", err)
	}
	p.unlock, err = filelock.Try(filepath.Join(p.dir, "lock"), filelock.Exclusive)
	unlockRun()
	if err != nil {
		return nil, fmt.Errorf("making a pod: locking its directory: %w", err)
	}
	if err := os.Mkdir(p.state, 0o700); err != nil {
		return nil, errors.Join(fmt.Errorf("making a pod: %w", err), p.Close())
	}
	e.pods.mu.Lock()
	if e.pods.open == nil {
		e.pods.open = map[*Pod]bool{}
	}
	e.pods.open[p] = true
	e.pods.mu.Unlock()
	if err := p.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("making a pod: %w", err), p.Close())
	}
	return p, nil
}

func (p *Pod) start() error {
	cmd := exec.Command("sh", "-c", holderScript, "docker-netbox-pod", p.id+"-*")
	cmd.Env = []string{"PATH=" + p.engine.env["PATH"]}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	said := &tail{max: 3}
	cmd.Stderr = said
	clone := uintptr(unix.CLONE_NEWPID)
	if !p.opts.hostNetwork {
		clone |= unix.CLONE_NEWNET
	}
	if p.stdin, err = startNamespace(cmd, clone); err != nil {
		return err
	}
	p.holder = cmd
	line, _ := bufio.NewReader(out).ReadString('\n')
	go func() {
		_ = cmd.Wait()
		close(p.ended)
	}()
	if line != "ready\n" {
		return fmt.Errorf("the pod's first process did not come up: %s", strings.Join(said.last(3), "; "))
	}
	ns := fmt.Sprintf("/proc/%d/ns/", cmd.Process.Pid)
	if p.mnt, err = os.Open(ns + "mnt"); err != nil {
		return err
	}
	if p.netns, err = os.Open(ns + "net"); err != nil {
		return err
	}
	if !p.opts.hostNetwork {
		err := inNetNamespace(p.netns, func() error {
			if err := bringUpLoopback(); err != nil {
				return fmt.Errorf("bringing up the loopback interface: %w", err)
			}
			for name, value := range p.opts.sysctls {
				file := filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
				if err := os.WriteFile(file, []byte(value), 0); err != nil {
					return fmt.Errorf("setting %s: %w", name, err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return inMountNamespace(p.mnt, func() error {
		if err := unix.Mount("tmpfs", p.state, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0700"); err != nil {
			return fmt.Errorf("mounting the pod's state: %w", err)
		}
		resolv := []byte{}
		if p.opts.hostNetwork {
			resolv, _ = os.ReadFile("/etc/resolv.conf")
		}
		if err := os.WriteFile(filepath.Join(p.state, "resolv.conf"), resolv, 0o644); err != nil {
			return err
		}
		return p.writeHosts()
	})
}

// keepSecret has values masked in what any container of the pod writes.
func (p *Pod) keepSecret(secrets map[string]string) {
	p.secrets.AddLines(slices.Collect(maps.Values(secrets))...)
}

// name makes container names known in the pod.
func (p *Pod) name(names ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range names {
		if !slices.Contains(p.names, n) {
			p.names = append(p.names, n)
		}
	}
	return inMountNamespace(p.mnt, p.writeHosts)
}

// writeHosts writes in place: containers have the file itself mounted.
func (p *Pod) writeHosts() error {
	names := strings.Join(append([]string{"localhost"}, p.names...), " ")
	text := "127.0.0.1 " + names + "\n"
	if p.opts.sysctls["net.ipv6.conf.all.disable_ipv6"] != "1" {
		text += "::1 " + names + " ip6-localhost ip6-loopback\n"
	}
	return os.WriteFile(filepath.Join(p.state, "hosts"), []byte(text), 0o644)
}

// DialContext connects to an address in the pod's network. Host names, those
// of containers included, mean the pod's loopback; it fits
// http.Transport.DialContext.
func (p *Pod) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dialling %s in the pod: %w", addr, err)
	}
	if net.ParseIP(host) == nil {
		host = "127.0.0.1"
	}
	var conn net.Conn
	err = inNetNamespace(p.netns, func() (err error) {
		// One literal address: the dialler opens the socket on this thread.
		conn, err = new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(host, port))
		return err
	})
	return conn, err
}

// Listen opens a server of this process to the pod's network, where its
// containers reach it at the address. The caller closes it.
func (p *Pod) Listen(ctx context.Context, network, addr string) (listener net.Listener, err error) {
	err = inNetNamespace(p.netns, func() (err error) {
		listener, err = new(net.ListenConfig).Listen(ctx, network, addr)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listening in the pod: %w", err)
	}
	return listener, nil
}

// Close kills what still runs in the pod and removes all of it.
func (p *Pod) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	containers := p.containers
	p.mu.Unlock()

	if p.holder != nil {
		_ = p.holder.Process.Kill() // the first process: the kernel kills the others
		p.stdin.Close()
		<-p.ended
	}
	for _, c := range containers {
		<-c.done
	}
	for _, f := range []*os.File{p.mnt, p.netns} {
		if f != nil {
			f.Close()
		}
	}
	sweepCgroups(filepath.Join(cgroupTop, p.id+"-*"))
	for _, dir := range cgroupDirs(cgroupTop) {
		_ = unix.Rmdir(dir) // stays while another pod has a cgroup in it
	}
	err := os.RemoveAll(p.dir)
	p.unlock()
	p.engine.pods.mu.Lock()
	delete(p.engine.pods.open, p)
	p.engine.pods.mu.Unlock()
	if err != nil {
		return fmt.Errorf("removing the pod's directory: %w", err)
	}
	return nil
}

// nsenter is the start of a command line that runs a program in the pod.
func (p *Pod) nsenter() []string {
	pid := p.holder.Process.Pid
	args := []string{"nsenter", fmt.Sprintf("--mount=/proc/%d/ns/mnt", pid), fmt.Sprintf("--pid=/proc/%d/ns/pid", pid)}
	if !p.opts.hostNetwork {
		args = append(args, fmt.Sprintf("--net=/proc/%d/ns/net", pid))
	}
	return append(args, "--")
}
