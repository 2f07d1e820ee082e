package local

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/proc"
	"github.com/linuxserver/docker-netbox/pipeline/secret"
)

// ofPod is the set of namespaces that belong to a pod.
const ofPod = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID

// Pod is a set of containers that share a private network, in which they reach
// each other by name. The network has no access to any other. Everything in a pod
// ends with Close or with this process.
type Pod struct {
	engine *Engine
	id     string
	dir    string   // on disk: upper directories and volumes
	state  string   // inside dir: a tmpfs that only the pod's namespace sees, for secrets
	files  *os.Root // state, opened for this process
	sysctl []Sysctl

	inside  *namespace
	ns      map[int]*os.File // its namespaces, by their unshare flag
	secrets secret.Mask

	count atomic.Int64 // number of containers and commands so far

	mu         sync.Mutex
	closed     bool
	names      []string
	containers []*Container
}

// Sysctl is a network setting, such as net.ipv6.conf.all.disable_ipv6.
type Sysctl struct{ Name, Value string }

// NewPod creates an empty pod with these network settings. The caller must close
// it.
func (e *Engine) NewPod(ctx context.Context, settings ...Sysctl) (_ *Pod, err error) {
	if err := e.Setup(ctx, e.opts.Log); err != nil {
		return nil, err
	}
	p := &Pod{engine: e, ns: map[int]*os.File{},
		// As in Docker: a service can use a low port without root.
		sysctl: append([]Sysctl{{"net.ipv4.ip_unprivileged_port_start", "0"}}, settings...)}
	if err := e.createProcessDir(ctx); err != nil {
		return nil, fmt.Errorf("making a pod: making its directory: %w", err)
	}
	e.mu.Lock()
	e.pods = append(e.pods, p)
	p.id = fmt.Sprintf("%s-%d", e.id, len(e.pods))
	e.mu.Unlock()
	p.dir = filepath.Join(e.processDir(), p.id)
	p.state = filepath.Join(p.dir, "state")
	err = os.MkdirAll(p.state, 0o700)
	if err == nil {
		err = p.start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making a pod: %w", err), p.Close())
	}
	return p, nil
}

func (p *Pod) start() error {
	cmd := exec.Command("sh", "-c", namespaceScript, "docker-netbox-pod", p.id+"-*", p.state, "sh", "-c", "echo ready; exec sleep infinity")
	cmd.Env = []string{"PATH=" + p.engine.env["PATH"]}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if p.inside, err = startNamespace(cmd, unix.CLONE_NEWPID|unix.CLONE_NEWNET); err != nil {
		return err
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		p.inside.end()
		return fmt.Errorf("the pod's first process did not come up: %s", strings.Join(proc.LastLines(stderr.String(), 3), "; "))
	}
	for kind, name := range map[int]string{unix.CLONE_NEWNS: "mnt", unix.CLONE_NEWNET: "net", unix.CLONE_NEWPID: "pid"} {
		if p.ns[kind], err = os.Open(fmt.Sprintf("/proc/%d/ns/%s", cmd.Process.Pid, name)); err != nil {
			return err
		}
	}
	err = p.in(unix.CLONE_NEWNET|unix.CLONE_NEWNS, func() (err error) {
		if err := bringUpLoopback(); err != nil {
			return fmt.Errorf("bringing up the loopback interface: %w", err)
		}
		for _, set := range p.sysctl {
			file := filepath.Join("/proc/sys", strings.ReplaceAll(set.Name, ".", "/"))
			if err := os.WriteFile(file, []byte(set.Value), 0); err != nil {
				return fmt.Errorf("setting %s: %w", set.Name, err)
			}
		}
		// Opened inside the namespace: below /proc/PID/root an absolute symbolic link in
		// the path, such as a cache moved to another disk, would lead outside.
		p.files, err = os.OpenRoot(p.state)
		return err
	})
	if err != nil {
		return err
	}
	return errors.Join(p.files.WriteFile("resolv.conf", nil, 0o644), p.name())
}

// has reports whether a file in the pod's state exists and is not empty.
func (p *Pod) has(name string) bool {
	info, err := p.files.Stat(name)
	return err == nil && info.Size() > 0
}

// keepSecret masks these values in the output of all containers of the pod.
func (p *Pod) keepSecret(secrets map[string]string) {
	p.secrets.AddLines(slices.Collect(maps.Values(secrets))...)
}

// name adds container names to the pod's hosts file.
func (p *Pod) name(names ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range names {
		if !slices.Contains(p.names, n) {
			p.names = append(p.names, n)
		}
	}
	all := strings.Join(append([]string{"localhost"}, p.names...), " ")
	text := "127.0.0.1 " + all + "\n"
	if !slices.Contains(p.sysctl, Sysctl{"net.ipv6.conf.all.disable_ipv6", "1"}) {
		text += "::1 " + all + " ip6-localhost ip6-loopback\n"
	}
	// Written in place: the file itself is mounted in the containers.
	return p.files.WriteFile("hosts", []byte(text), 0o644)
}

// DialContext connects to an address in the pod's network. All host names, such as
// those of containers, resolve to the pod's loopback. It can be used as
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
	err = p.in(unix.CLONE_NEWNET, func() (err error) {
		// With one literal address the dialler opens the socket on this thread.
		conn, err = new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(host, port))
		return err
	})
	return conn, err
}

// Listen listens on an address in the pod's network, so that its containers can
// reach a server in this process. The caller must close the listener.
func (p *Pod) Listen(ctx context.Context, network, addr string) (listener net.Listener, err error) {
	err = p.in(unix.CLONE_NEWNET, func() (err error) {
		listener, err = new(net.ListenConfig).Listen(ctx, network, addr)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listening in the pod: %w", err)
	}
	return listener, nil
}

// Close kills all processes of the pod and removes everything that belongs to it.
func (p *Pod) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	containers := p.containers
	p.containers = nil // the engine keeps its pods
	p.mu.Unlock()

	if p.inside != nil {
		p.inside.end()
	}
	for _, c := range containers {
		<-c.done
	}
	for _, file := range p.ns {
		file.Close()
	}
	if p.files != nil {
		p.files.Close()
	}
	if err := os.RemoveAll(p.dir); err != nil {
		return fmt.Errorf("removing the pod's directory: %w", err)
	}
	return nil
}

// add starts the first process of a container and adds it to the pod's containers.
func (p *Pod) add(c *Container, cmd *exec.Cmd) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errors.New("the pod is closed")
	}
	if err := p.in(ofPod, cmd.Start); err != nil {
		return err
	}
	p.containers = append(p.containers, c)
	return nil
}

// runc returns a runc command, to be started in the pod's namespaces.
func (p *Pod) runc(ctx context.Context, log string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.engine.tools.runc, append([]string{"--root", "runc", "--log", log, "--log-format", "json"}, args...)...)
	cmd.Dir, cmd.Env = p.state, []string{"PATH=" + p.engine.env["PATH"]}
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	return cmd
}

// in runs fn on a thread that has entered the pod's namespaces in kinds. Programs
// that the thread starts inherit them.
func (p *Pod) in(kinds int, fn func() error) error {
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil { // required for entering a mount namespace
			return fmt.Errorf("unsharing the file system attributes: %w", err)
		}
		for kind, ns := range p.ns {
			if kinds&kind == 0 {
				continue
			}
			if err := unix.Setns(int(ns.Fd()), kind); err != nil {
				return fmt.Errorf("entering the namespace %s: %w", ns.Name(), err)
			}
		}
		return fn()
	})
}
