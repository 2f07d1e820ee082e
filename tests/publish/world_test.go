// Package publish_test checks that a publish never leaves an incomplete release,
// whatever fails. It runs against two unrelated registries and injects faults
// into every request, kills the publisher, fills the disk, and runs publishers
// in parallel.
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

// keepTable is the environment variable that holds NAME: the table of faults and
// outcomes is written to NAME.md and NAME.json. It is not a flag, because
// "go test ./..." passes flags to all packages.
const keepTable = "FAULT_TABLE"

var soak = flag.Bool("soak", false, "run the long campaigns whole")

// repository is the relative path of the project's root directory.
const repository = "../.."

// serve is the environment variable that turns this program into a
// go-containerregistry registry. It names the directory for the blobs.
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

// debian is a root directory with programs from Debian: a registry and
// third-party clients.
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

// kinds lists the registries to test against. Without -soak, a campaign runs only
// every sample-th case.
var kinds = []struct {
	name   string
	start  func(testing.TB) *server
	sample int
}{
	{"go-containerregistry", startLoopback, 6},
	{"docker-registry", startDocker, 20},
}

// server is a running registry.
type server struct {
	host    string
	process *os.Process // nil when the registry runs in this process
}

// startLoopback starts a go-containerregistry registry that stores blobs on disk.
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

// newDir creates a directory below root and returns its path inside root.
func newDir(t testing.TB, root string) string {
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Join(root, "srv"), "")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return strings.TrimPrefix(dir, root)
}

// dockerCommand returns a command that runs docker-registry in root. The data
// directory is a tmpfs, because docker-registry syncs after each write.
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

// on returns a command that runs with a tmpfs of a size mounted on dir. The
// mount ends with the command.
func on(dir, size string, command ...string) *exec.Cmd {
	return exec.Command("unshare", append([]string{"--mount", "sh", "-c", `mount -t tmpfs -o "size=$1" none "$0" && shift && exec "$@"`, dir, size}, command...)...)
}

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:[0-9]+)`)

// start starts a registry and waits until it prints its address. The registry
// is killed when the test ends.
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
		_, _ = io.Copy(io.Discard, stderr) // when the scanner stops at a line that is too long
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

// fresh is a counter for unique names.
var fresh atomic.Int64

// newRepository returns the name of a repository that no registry has yet.
func newRepository() string { return fmt.Sprintf("try%d/netbox", fresh.Add(1)) }

// client reads from registries without the code under test.
var client = &http.Client{Timeout: time.Minute}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
