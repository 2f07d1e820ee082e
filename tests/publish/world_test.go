// Package publish_test checks that publishing never leaves half a release behind,
// whatever fails: against two unrelated registries, with faults injected into
// every request of a publish, with the publisher killed, the disk full, and
// another publisher at work.
//
// Long campaigns run a sample by default, and all cases with -soak:
//
//	FAULT_TABLE=$PWD/dist/faults go test -timeout 60m ./tests/publish -soak
package publish_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/linuxserver/docker-netbox/pipeline/base/basetest"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/tests/need"

	"github.com/linuxserver/docker-netbox/pipeline/proc"
)

// keepTable is the variable that names where the table of faults and outcomes
// goes, as NAME.md and NAME.json. It is no flag: "go test ./..." hands flags to
// all packages.
const keepTable = "FAULT_TABLE"

var soak = flag.Bool("soak", false, "run the long campaigns whole")

// repository is where the project lies, as seen from here.
const repository = "../.."

// serve is the variable that makes this program a registry of
// go-containerregistry, on the directory that it names.
const serve = "PUBLISH_TEST_SERVE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(serve); dir != "" {
		if err := serveRegistry(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if dir := os.Getenv(layout); dir != "" {
		if err := publishLayout(dir, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	code := m.Run()
	if err := os.RemoveAll(debian.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func serveRegistry(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server, err := registry.Loopback(ctx, dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "listening on %s\n", server.Host)
	<-ctx.Done()
	return server.Close()
}

// debian is a directory with the programs of Debian's that are tested with:
// a registry, and clients that know nothing of ours.
var debian struct {
	once sync.Once
	dir  string
	err  error
}

func debianRoot(t testing.TB) string {
	t.Helper()
	need.Root(t, "unpacking and running Debian's docker-registry, skopeo and podman")
	debian.once.Do(func() {
		img := basetest.Packages(t, repository, "trixie", "docker-registry", "skopeo", "podman")
		if debian.dir, debian.err = os.MkdirTemp("", "docker-netbox-publish-"); debian.err != nil {
			return
		}
		files := mutate.Extract(img)
		defer files.Close()
		unpack := exec.CommandContext(t.Context(), "tar", "--extract", "--directory", debian.dir)
		unpack.Stdin = files
		if out, err := unpack.CombinedOutput(); err != nil {
			debian.err = fmt.Errorf("unpack Debian's packages: %w: %s", err, out)
		}
	})
	if debian.err != nil || debian.dir == "" {
		t.Fatalf("there are no packages of Debian's: %v", debian.err)
	}
	return debian.dir
}

// kinds are the registries that everything is tried against. Of a campaign
// every so many-th try is made when it is not run whole.
var kinds = []struct {
	name   string
	start  func(testing.TB) *server
	sample int
}{
	{"go-containerregistry", startLoopback, 6},
	{"docker-registry", startDocker, 20},
}

// server is a registry that runs.
type server struct {
	host    string
	process *os.Process // nil when it is part of this one
}

// startLoopback starts the registry of go-containerregistry, blobs on disk.
func startLoopback(t testing.TB) *server {
	t.Helper()
	s, err := registry.Loopback(context.WithoutCancel(t.Context()), t.TempDir())
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return &server{host: s.Host}
}

// startDocker starts Debian's docker-registry.
func startDocker(t testing.TB) *server {
	t.Helper()
	root := debianRoot(t)
	return start(t, dockerCommand(t, root, newDir(t, root), "1g"))
}

// newDir makes a directory in a root, and returns its path as seen from within.
func newDir(t testing.TB, root string) string {
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Join(root, "srv"), "")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return strings.TrimPrefix(dir, root)
}

// dockerCommand is docker-registry on a directory of the root it lies in. A
// file system in memory spares it waiting for a disk after each of its writes.
func dockerCommand(t testing.TB, root, data, size string) *exec.Cmd {
	t.Helper()
	config := data + ".yml"
	must(t, os.WriteFile(root+config, []byte(`version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: `+data+`}
  maintenance: {uploadpurging: {enabled: false}}
http: {addr: "127.0.0.1:0", secret: no secret}
`), 0o644))
	t.Cleanup(func() { must(t, os.Remove(root+config)) })
	return on(root+data, size, "chroot", root, "/usr/bin/docker-registry", "serve", config)
}

// on is a command that finds a file system of a size, in memory, at dir. Both
// end together.
func on(dir, size string, command ...string) *exec.Cmd {
	return exec.Command("unshare", append([]string{"--mount", "sh", "-c", `mount -t tmpfs -o "size=$1" none "$0" && shift && exec "$@"`, dir, size}, command...)...)
}

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:[0-9]+)`)

// start starts a registry and waits until it says where it listens. It ends
// with the test.
func start(t testing.TB, cmd *exec.Cmd) *server {
	t.Helper()
	stderr, err := cmd.StderrPipe()
	must(t, err)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, proc.Start(cmd))
	host := make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				host <- m[1]
			}
		}
		_, _ = io.Copy(io.Discard, stderr) // a line that was too long
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-read
		_ = cmd.Wait()
	})
	select {
	case h := <-host:
		return &server{host: h, process: cmd.Process}
	case <-read:
		t.Fatalf("%s ended before it listened", cmd)
	case <-time.After(time.Minute):
		t.Fatalf("%s does not listen after a minute", cmd)
	}
	return nil
}

// fresh is a counter for names that nobody has used yet.
var fresh atomic.Int64

// newRepository is the name of a repository that is empty everywhere.
func newRepository() string { return fmt.Sprintf("try%d/netbox", fresh.Add(1)) }

// client is how registries are looked at, past everything that is tested.
var client = &http.Client{Timeout: time.Minute}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
