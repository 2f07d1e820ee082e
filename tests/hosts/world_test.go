// Package hosts runs the image on the container engines of operators: Docker with
// Docker Compose, and podman with and without root. Each host is a separate Debian
// with the real programs, in its own namespaces and cgroups, and without external
// network. The tests run the commands of README.md and docs/.
//
// The tests take minutes and only run with -soak:
//
//	go test -timeout 60m ./tests/hosts -soak
package hosts

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/linuxserver/docker-netbox/pipeline/base/basetest"
	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/proc"
	"github.com/linuxserver/docker-netbox/pipeline/provider"
	"github.com/linuxserver/docker-netbox/tests/need"
)

var soak = flag.Bool("soak", false, "run the image on Debian's Docker and podman, which takes minutes")

const (
	repository = "../.."
	patience   = 10 * time.Minute // limit for each start and each script
)

// images is the archive for `docker load` of all images named in the documentation.
// Debian's PostgreSQL and Redis replace the official images.
var images struct {
	once sync.Once
	file string
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if images.file != "" {
		os.RemoveAll(filepath.Dir(images.file))
	}
	os.Exit(code)
}

func makeImages(t *testing.T) {
	t.Helper()
	sides, err := (provider.Local{Builder: basetest.Builder(t, repository)}).Sidecars(t.Context(), t.Output())
	must(t, err)
	dir, err := os.MkdirTemp("", "docker-netbox-hosts-")
	must(t, err)
	defer func() {
		if images.file == "" {
			os.RemoveAll(dir)
		}
	}()
	basetest.NetBox(t, repository, dir)
	_, netbox := basetest.Image(t, dir)
	tagged := map[name.Tag]v1.Image{}
	for reference, img := range map[string]v1.Image{
		"lscr.io/linuxserver/netbox:latest": netbox,
		// The official image has a socket by default, this one does not.
		"docker.io/library/postgres:17": official(t, sides.Postgres, []string{"-c", "unix_socket_directories=/tmp"}, "PGHOST=/tmp"),
		"docker.io/library/redis:8":     official(t, sides.Redis, nil),
	} {
		tag, err := name.NewTag(reference)
		must(t, err)
		tagged[tag] = img
	}
	file := filepath.Join(dir, "images.tar")
	must(t, tarball.MultiWriteToFile(file, tagged))
	images.file = file
}

// official returns the service's image with the entrypoint, arguments and variables
// set, as in the official image.
func official(t *testing.T, service engine.Container, args []string, env ...string) v1.Image {
	t.Helper()
	f, err := service.Image.ConfigFile()
	must(t, err)
	config := f.Config
	config.Entrypoint, config.Cmd, config.Env = service.Entrypoint, args, append(config.Env, env...)
	img, err := mutate.Config(service.Image, config)
	must(t, err)
	return img
}

// host is the Debian machine of an operator.
type host struct {
	t      *testing.T
	root   string // its root directory
	groups string // the name of its cgroups
	cmd    *exec.Cmd
	ended  chan struct{}
	pid    string // its first process
}

// newHost creates a host from Debian packages and starts it. The images are in its
// file /images.tar. When the test ends, the host and all its processes are killed.
func newHost(t *testing.T, packages ...string) *host {
	t.Helper()
	if !*soak {
		t.Skip("-soak: it takes minutes")
	}
	need.Root(t, "running Debian's Docker and podman")
	images.once.Do(func() { makeImages(t) })
	if images.file == "" {
		t.Fatal("the images could not be made: see the first test that failed")
	}
	root, err := os.MkdirTemp("", "") // short, as a socket's path is limited to 107 characters
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(root)) })
	must(t, os.Chmod(root, 0o755))
	files := mutate.Extract(basetest.Packages(t, repository, "trixie", append(packages, "iproute2", "procps", "curl", "ca-certificates", "mount")...))
	unpack := exec.CommandContext(t.Context(), "tar", "--extract", "--directory", root)
	unpack.Stdin = files
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("unpack Debian: %v: %s", err, out)
	}
	must(t, files.Close())
	for file, text := range map[string]string{
		"images.tar":      "",
		"etc/hostname":    "operator\n",
		"etc/hosts":       "127.0.0.1 localhost operator\n",
		"etc/resolv.conf": "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n", // no server listens there
	} {
		must(t, os.WriteFile(filepath.Join(root, file), []byte(text), 0o644))
	}
	h := &host{t: t, root: root, groups: filepath.Base(root)}
	h.boot()
	return h
}

// join is a script that moves its shell into the cgroups of the host: one in each
// hierarchy of cgroup v1, or a child of the host's cgroup with cgroup v2, where the
// parent must not contain processes.
const join = `
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mkdir -p "/sys/fs/cgroup/$groups/programs"
  echo $$ >"/sys/fs/cgroup/$groups/programs/cgroup.procs"
else
  for dir in /sys/fs/cgroup/*/; do
    [ ! -e "$dir/cgroup.controllers" ] || continue
    if mkdir "$dir$groups" 2>/dev/null; then
      for file in cpuset.cpus cpuset.mems; do [ ! -e "$dir$file" ] || cat "$dir$file" >"$dir$groups/$file"; done
    fi
    echo $$ >"$dir$groups/cgroup.procs"
  done
fi
`

// boot starts the host. All later commands run in the same namespaces.
func (h *host) boot() {
	h.t.Helper()
	h.cmd = exec.Command("sh", "-euc", "groups=$1"+join+`
[ ! -e /sys/fs/cgroup/cgroup.controllers ] || echo $$ >"/sys/fs/cgroup/$groups/cgroup.procs" # the root of the namespace
exec unshare --cgroup sh -euc '
groups=$1
shift
[ ! -e /sys/fs/cgroup/cgroup.controllers ] || echo $$ >"/sys/fs/cgroup/$groups/programs/cgroup.procs"
exec unshare --mount --pid --net --ipc --uts --fork --kill-child=KILL sh -euc "$@"
' sh "$groups" '
root=$1 images=$2
mount --rbind "$root" "$root"
mount -t sysfs sysfs "$root/sys"
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
  mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
  for dir in /sys/fs/cgroup/*/; do
    [ ! -e "$dir/cgroup.controllers" ] || continue
    name=$(basename "$dir")
    mkdir "$root/sys/fs/cgroup/$name"
    if [ "$name" = systemd ]; then options=none,name=systemd; else options=$name; fi
    mount -t cgroup -o "$options" cgroup "$root/sys/fs/cgroup/$name"
  done
fi
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/dev/net" # tun is open to all users, as udev has it
mknod -m 666 "$root/dev/net/tun" c 10 200
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t proc proc "$root/proc"
mount --bind "$images" "$root/images.tar"
hostname operator
ip link set lo up
mkdir -p "$root/.old"
cd "$root"
pivot_root . .old
exec chroot . bash -euc "umount -l /.old; mount --make-rshared /; echo ready; while :; do sleep infinity & wait; done" # bash reaps orphans
' sh "$2" "$3"
`, "sh", h.groups, h.root, images.file)
	out, err := h.cmd.StdoutPipe()
	must(h.t, err)
	var stderr strings.Builder
	h.cmd.Stderr = &stderr
	must(h.t, proc.Start(h.cmd))
	h.ended = make(chan struct{})
	h.t.Cleanup(h.halt)
	line := make(chan string, 1)
	go func() {
		defer close(h.ended)
		text, _ := bufio.NewReader(out).ReadString('\n')
		line <- text
		_ = h.cmd.Wait()
	}()
	select {
	case text := <-line:
		if text != "ready\n" {
			<-h.ended
			h.t.Fatalf("start a machine: %s", stderr.String())
		}
	case <-time.After(time.Minute):
		h.t.Fatal("start a machine: it is not ready after a minute")
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", h.cmd.Process.Pid))
	must(h.t, err)
	h.pid = strings.TrimSpace(string(children))
}

// halt kills the host, as in a power cut.
func (h *host) halt() {
	_ = h.cmd.Process.Kill()
	<-h.ended
	_ = exec.Command("sh", "-c", `for n in 1 2 3 4 5 6 7 8 9 10; do
  find /sys/fs/cgroup -depth -type d -path "*/$1*" -exec rmdir {} + 2>/dev/null
  [ "$(find /sys/fs/cgroup -type d -path "*/$1*")" ] || exit 0
  sleep 0.1
done`, "sh", h.groups).Run()
}

// command returns a command that runs a shell script on the host.
func (h *host) command(ctx context.Context, script string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", "-euc", "groups=$1 pid=$2"+join+
		`shift 2; exec nsenter --target "$pid" --mount --pid --net --ipc --uts --cgroup -- env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 PODMAN_IGNORE_CGROUPSV1_WARNING=1 DISABLE_HC_SYSTEMD=true "$@"`,
		"sh", h.groups, h.pid, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = "/"
	proc.Group(cmd)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// try runs a script and returns its output.
func (h *host) try(script string) (string, error) {
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	out, err := h.command(ctx, script).CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("it does not end within %s", patience)
	}
	return string(out), err
}

// run runs a script that must succeed.
func (h *host) run(script string) string {
	h.t.Helper()
	out, err := h.try(script)
	if err != nil {
		h.t.Fatalf("%s: %v: %s", strings.TrimSpace(script), err, out[max(0, len(out)-4000):])
	}
	return out
}

// until repeats a script until it succeeds.
func (h *host) until(script string) {
	h.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Second) {
		out, err := h.try(script)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("%s: not within %s: %v: %s", script, patience, err, out)
		}
	}
}

// write writes a file of the host.
func (h *host) write(file, text string) {
	h.t.Helper()
	file = filepath.Join(h.root, file)
	must(h.t, os.MkdirAll(filepath.Dir(file), 0o755))
	must(h.t, os.WriteFile(file, []byte(text), 0o644))
}

// site creates an API token and, with it, a site. kept checks that both still exist.
const (
	site = `
answer=$(curl -fsS --max-time 60 -H "Content-Type: application/json" -d '{"username": "admin", "password": "change-this-password", "version": 2}' http://localhost:8000/api/users/tokens/provision/)
echo "nbt_$(echo "$answer" | grep -o '"key":"[^"]*' | cut -d'"' -f4).$(echo "$answer" | grep -o '"token":"[^"]*' | cut -d'"' -f4)" >/root/token
curl -fsS --max-time 60 -H "Authorization: Bearer $(cat /root/token)" -H "Content-Type: application/json" -d '{"name": "Berlin", "slug": "berlin"}' http://localhost:8000/api/dcim/sites/
`
	kept = `curl -fsS --max-time 60 -H "Authorization: Bearer $(cat /root/token)" 'http://localhost:8000/api/dcim/sites/?slug=berlin' | grep -F '"count":1,'`
)

// block returns the first code block of a page that contains sign.
func block(t *testing.T, page, language, sign string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, page))
	must(t, err)
	for _, m := range regexp.MustCompile("(?ms)^( *)```"+language+"\n(.*?)^ *```$").FindAllStringSubmatch(string(text), -1) {
		if strings.Contains(m[2], sign) {
			return strings.ReplaceAll("\n"+m[2], "\n"+m[1], "\n")[1:]
		}
	}
	t.Fatalf("%s has no %s block with %q", page, language, sign)
	return ""
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
