package local_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/enginetest"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
)

func newPod(t *testing.T, e *local.Engine, settings ...local.Sysctl) *local.Pod {
	t.Helper()
	p, err := e.NewPod(t.Context(), settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func tiny(t *testing.T) v1.Image {
	t.Helper()
	img, err := engine.ImageFor(enginetest.Base(t, native), native)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// script returns a container that runs a script in the tiny image's shell.
func script(img v1.Image, name, script string) engine.Container {
	return engine.Container{Name: name, Image: img, Args: []string{"/bin/sh", "-c", script}}
}

func start(t *testing.T, p *local.Pod, spec engine.Container) *local.Container {
	t.Helper()
	c, err := p.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// end waits for a container's exit and returns its exit code and its output.
func end(t *testing.T, c *local.Container) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	code, err := c.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return code, output(c)
}

func output(c *local.Container) string {
	var b strings.Builder
	for _, l := range c.Lines() {
		b.WriteString(l.Text + "\n")
	}
	return b.String()
}

func run(t *testing.T, p *local.Pod, spec engine.Container) string {
	t.Helper()
	_, out := end(t, start(t, p, spec))
	return out
}

func waitFor(t *testing.T, c *local.Container, text string) {
	t.Helper()
	eventually(t, time.Minute, func() error {
		if out := output(c); !strings.Contains(out, text) {
			return fmt.Errorf("%s has written only %q", c.Name(), out)
		}
		return nil
	})
}

func TestAContainerIsStoppedKilledAndStartedAgain(t *testing.T) {
	p, img := newPod(t, newEngine(t, testCache(t))), tiny(t)
	spec := script(img, "service", "print up; hold")
	spec.StopGrace = 5 * time.Second

	c := start(t, p, spec)
	waitFor(t, c, "up")
	if code, err := c.Stop(t.Context()); code != 0 || err != nil || !strings.Contains(output(c), "stopped by SIGTERM") {
		t.Errorf("Stop returned %d, %v after %q, want an orderly end", code, err, output(c))
	}
	c, err := c.Restart(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, c, "up")
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	if code, _ := end(t, c); code != 137 {
		t.Errorf("a killed container ended with %d, want 128+9", code)
	}
	if err := c.Signal(unix.SIGTERM); err == nil {
		t.Error("signalling an ended container is no error")
	}
	stubborn := script(img, "stubborn", "deaf; print up; sleep 10m")
	stubborn.StopGrace = 300 * time.Millisecond
	c = start(t, p, stubborn)
	waitFor(t, c, "up")
	if code, err := c.Stop(t.Context()); code != 137 || err != nil {
		t.Errorf("stopping a process that does not listen returned %d, %v", code, err)
	}
}

func TestARestartKeepsTheRootFileSystemAndANewStartDoesNot(t *testing.T) {
	p, img := newPod(t, newEngine(t, testCache(t))), tiny(t)
	spec := script(img, "main", "cat /state; write /state written before")
	c := start(t, p, spec)
	if code, _ := end(t, c); code != 1 {
		t.Errorf("the first start ended with %d, want 1: nothing was written yet", code)
	}
	spec.Args = []string{"/bin/sh", "-c", "write /state written before; cat /state"}
	c = start(t, p, spec)
	end(t, c)
	if data, err := c.ReadFile("/state"); err != nil || string(data) != "written before" {
		t.Errorf("ReadFile returned %q, %v", data, err)
	}
	spec.Args = []string{"/bin/sh", "-c", "ls /"}
	if out := run(t, p, spec); strings.Contains(out, "state") {
		t.Errorf("a new start found files of the last:\n%s", out)
	}
	again, err := c.Restart(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if code, out := end(t, again); code != 0 || out != "written before\n" {
		t.Errorf("the restart ended with %d after %q", code, out)
	}
}

func TestAHostDirectoryOutlivesThePod(t *testing.T) {
	e, img, dir := newEngine(t, testCache(t)), tiny(t), t.TempDir()
	for _, command := range []string{"write /config/kept from the first", "cat /config/kept"} {
		p := newPod(t, e)
		spec := script(img, "main", command)
		spec.Mounts = []engine.Mount{{Path: "/config", Host: dir}}
		out := run(t, p, spec)
		if strings.HasPrefix(command, "cat") && out != "from the first\n" {
			t.Errorf("the second pod read %q", out)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestALateContainerIsReachedByName(t *testing.T) {
	p, img := newPod(t, newEngine(t, testCache(t))), tiny(t)
	main := start(t, p, script(img, "main", "hold"))
	if _, _, code, err := main.Exec(t.Context(), []string{"/bin/tiny", "get", "database:5432"}, nil); err != nil || code == 0 {
		t.Errorf("before the database is there: code %d, %v", code, err)
	}
	database := script(img, "database", "serve :5432")
	database.Ready = []string{"/bin/tiny", "get", "127.0.0.1:5432"}
	if err := start(t, p, database).WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	out, _, code, err := main.Exec(t.Context(), []string{"/bin/tiny", "get", "database:5432"}, nil)
	if err != nil || code != 0 || out != "hello from database\n" {
		t.Errorf("got %q, code %d, %v", out, code, err)
	}
	conn, err := p.DialContext(t.Context(), "tcp", "database:5432")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if data, err := io.ReadAll(conn); string(data) != "hello from database\n" {
		t.Errorf("from outside got %q, %v", data, err)
	}
}

func TestAServerOfThisProcessAnswersInThePodAlone(t *testing.T) {
	p := newPod(t, newEngine(t, testCache(t)))
	listener, err := p.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	address := listener.Addr().String()
	conn, err := p.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatalf("from the pod: %v", err)
	}
	conn.Close()
	if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
		conn.Close()
		t.Error("this machine's own network has the server too")
	}
}

func TestExecRunsACommandBesideTheFirstProcess(t *testing.T) {
	p, img := newPod(t, newEngine(t, testCache(t))), tiny(t)
	spec := script(img, "main", "hold")
	spec.Env = map[string]string{"COLOUR": "blue"}
	spec.Secrets = map[string]string{"TOKEN": "open-sesame"}
	c := start(t, p, spec)
	out, errOut, code, err := c.Exec(t.Context(), []string{"/bin/sh", "-c", "print $COLOUR $SIZE $TOKEN; warn pale; exit 4"}, map[string]string{"SIZE": "large"})
	if err != nil || code != 4 || out != "blue large ***\n" || errOut != "pale\n" {
		t.Errorf("got %q, %q, code %d, %v", out, errOut, code, err)
	}
	if _, _, _, err := c.Exec(t.Context(), []string{"/no/such/program"}, nil); err == nil || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("a program that is not there: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, _, _, err := c.Exec(ctx, []string{"/bin/tiny", "sleep", "10m"}, nil); err == nil {
		t.Error("a command that outlasts its context is no error")
	}
	eventually(t, time.Minute, func() error {
		if ps := c.Processes(); len(ps) != 1 || ps[0].Inside != 1 {
			return fmt.Errorf("the container's processes are %+v, want the first alone", ps)
		}
		return nil
	})
}

func TestTheNetworkHasNoWayOut(t *testing.T) {
	p, img := newPod(t, newEngine(t, testCache(t))), tiny(t)
	c := start(t, p, script(img, "main", "hold"))
	out, errOut, _, err := c.Exec(t.Context(), []string{"/bin/sh", "-c", "ls /sys/class/net; cat /etc/hosts; get 192.0.2.1:80"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out, "lo\n127.0.0.1 localhost main\n::1 localhost main") {
		t.Errorf("the interfaces and names are\n%s", out)
	}
	if !strings.Contains(errOut, "network is unreachable") {
		t.Errorf("an address outside: %q", errOut)
	}
}

func TestNetworkSettingsAreThePods(t *testing.T) {
	e, img := newEngine(t, testCache(t)), tiny(t)
	const file = "/proc/sys/net/ipv6/conf/all/disable_ipv6"
	before, err := os.ReadFile(file)
	if err != nil {
		t.Skip("SKIPPED: this machine has no IPv6 to switch off")
	}
	p := newPod(t, e, local.Sysctl{Name: "net.ipv6.conf.all.disable_ipv6", Value: "1"})
	if out := run(t, p, script(img, "main", "cat "+file+"; cat /etc/hosts")); out != "1\n127.0.0.1 localhost main\n" {
		t.Errorf("got %q", out)
	}
	if after, _ := os.ReadFile(file); !bytes.Equal(before, after) {
		t.Errorf("the machine's own setting went from %q to %q", before, after)
	}
}

func TestAReadOnlyRootCannotBeWritten(t *testing.T) {
	p, img := newPod(t, newEngine(t, testCache(t))), tiny(t)
	spec := script(img, "main", "write /tmp/a fine; cat /tmp/a; write /root-file no")
	spec.ReadOnly = true
	spec.Mounts = []engine.Mount{{Path: "/tmp", Tmpfs: true}}
	if out := run(t, p, spec); !strings.Contains(out, "fine") || !strings.Contains(out, "read-only file system") {
		t.Errorf("got %q", out)
	}
}

func TestAContainerHasDockersUserAndCapabilities(t *testing.T) {
	p := newPod(t, newEngine(t, testCache(t)))
	img, err := mutate.Config(tiny(t), v1.Config{User: "abc", WorkingDir: "/work", Env: []string{"PATH=/bin"}})
	if err != nil {
		t.Fatal(err)
	}
	out := run(t, p, script(img, "main", "id; env; print; cat /proc/self/status"))
	for _, want := range []string{"911 911 [100]", "HOME=/config", "HOSTNAME=main", "CapEff:\t0000000000000000", "NoNewPrivs:\t0"} {
		if !strings.Contains(out, want) {
			t.Errorf("as abc, %q is not in\n%s", want, out)
		}
	}
	if out := run(t, p, script(tiny(t), "root", "cat /proc/self/status")); !strings.Contains(out, "CapEff:\t00000000a80425fb") {
		t.Errorf("as root, the capabilities are not Docker's:\n%s", out)
	}
}

func TestSecretsAreNotOnCommandLinesNorOnDisk(t *testing.T) {
	e, img := newEngine(t, testCache(t)), tiny(t)
	p := newPod(t, e)
	const password = "c4t-on-a-hot-roof"
	spec := script(img, "main", "print up; hold")
	spec.Secrets = map[string]string{"PASSWORD": password}
	c := start(t, p, spec)
	waitFor(t, c, "up")
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _, _, _ = c.Exec(t.Context(), []string{"/bin/tiny", "sleep", "300ms"}, map[string]string{"MORE": password})
	}()
	for range 10 {
		if err := noProcess(password); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	<-done
	out, err := exec.Command("grep", "-rlF", "-e", password, filepath.Join(testCache(t), "local", "run")).CombinedOutput()
	if len(out) > 0 {
		t.Errorf("the secret is on disk: %s %v", out, err)
	}
}

func TestPeakMemoryIsMeasured(t *testing.T) {
	p, img := newPod(t, newEngine(t, testCache(t))), tiny(t)
	if len(globAll("/sys/fs/cgroup/memory", "/sys/fs/cgroup/cgroup.controllers")) == 0 {
		t.Skip("SKIPPED: this machine accounts for no memory")
	}
	c := start(t, p, script(img, "main", "print up"))
	end(t, c)
	if peak := c.PeakMemory(); peak < 100<<10 || peak > 1<<30 {
		t.Errorf("peak memory is %d bytes", peak)
	}
}

// An emulated container is the slowest, so native ones must yield the CPU to it.
func TestAnEmulatedContainerGetsTheProcessorsFirst(t *testing.T) {
	e := newEngine(t, testCache(t))
	p := newPod(t, e)
	img, err := engine.ImageFor(enginetest.Base(t, foreign), foreign)
	if err != nil {
		t.Fatal(err)
	}
	var shares []string
	waitFor(t, start(t, p, script(tiny(t), "native", "print up; hold")), "up")
	waitFor(t, start(t, p, script(img, "emulated", "print up; hold")), "up")
	groups := "docker-netbox/" + local.ID(e) + "*/"
	for _, name := range globAll("/sys/fs/cgroup/"+groups+"cpu.weight", "/sys/fs/cgroup/*/"+groups+"cpu.shares") {
		share, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		shares = append(shares, strings.TrimSpace(string(share)))
	}
	slices.Sort(shares)
	switch got := strings.Join(shares, " "); got {
	case "100 300", "1024 3072":
	case "":
		t.Skip("SKIPPED: this machine shares out no processor time by control group")
	default:
		t.Errorf("the native and the emulated container have the shares %s", got)
	}
}

func globAll(patterns ...string) []string {
	var all []string
	for _, p := range patterns {
		found, _ := filepath.Glob(p)
		all = append(all, found...)
	}
	return all
}

func TestTheEmulatorGetsItsCPUUnlessSet(t *testing.T) {
	if foreign.Architecture != "arm64" {
		t.Skip("SKIPPED: only arm64 has a CPU model pinned, and this machine is arm64")
	}
	p := newPod(t, newEngine(t, testCache(t)))
	img, err := engine.ImageFor(enginetest.Base(t, foreign), foreign)
	if err != nil {
		t.Fatal(err)
	}
	spec := script(img, "main", "print $QEMU_CPU")
	if out := run(t, p, spec); out != "cortex-a72\n" {
		t.Errorf("by default got %q", out)
	}
	spec.Env = map[string]string{"QEMU_CPU": "max"}
	if out := run(t, p, spec); out != "max\n" {
		t.Errorf("when set got %q", out)
	}
}

func TestACacheBehindAnAbsoluteLinkWorks(t *testing.T) {
	link := filepath.Join(t.TempDir(), "cache")
	if err := os.Symlink(testCache(t), link); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p := newPod(t, newEngine(t, link))
	c, err := p.Start(ctx, script(tiny(t), "linked", "print up; hold"))
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, c, "up")
	if code, err := c.Stop(ctx); code != 0 || err != nil {
		t.Errorf("ended with %d, %v", code, err)
	}
}
