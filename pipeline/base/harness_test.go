package base_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/linuxserver/docker-netbox/pipeline/base"
	"github.com/linuxserver/docker-netbox/pipeline/base/basetest"
)

// scratch contains the unpacked root file systems that the tests share.
var scratch string

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "base-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(scratch)
	os.Exit(code)
}

func builder(t testing.TB) base.Builder {
	t.Helper()
	return basetest.Builder(t, "../..")
}

func platform(arch string) v1.Platform { return v1.Platform{OS: "linux", Architecture: arch} }

// rootfs is an unpacked image and its configuration.
type rootfs struct {
	dir     string
	config  v1.Config
	headers map[string]*tar.Header // by path without leading slash
}

var (
	unpacking sync.Mutex
	unpacked  = map[string]*rootfs{}
)

// unpack returns the root file system of an image, which tests must not modify.
func unpack(t testing.TB, img v1.Image) *rootfs {
	t.Helper()
	unpacking.Lock()
	defer unpacking.Unlock()
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if r := unpacked[digest.Hex]; r != nil {
		return r
	}
	r := &rootfs{dir: filepath.Join(scratch, digest.Hex[:12]), headers: map[string]*tar.Header{}}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	r.config = config.Config
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	flat := mutate.Extract(img)
	defer flat.Close()
	unpackCmd := exec.Command("tar", "--extract", "--numeric-owner", "--directory="+r.dir)
	in, err := unpackCmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := unpackCmd.Start(); err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(io.TeeReader(flat, in))
	for {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		r.headers[strings.TrimSuffix(h.Name, "/")] = h
	}
	in.Close()
	if err := unpackCmd.Wait(); err != nil {
		t.Fatal(err)
	}
	unpacked[digest.Hex] = r
	return r
}

func native(t testing.TB) *rootfs {
	t.Helper()
	b := builder(t)
	img, err := b.Image(t.Context(), platform(runtime.GOARCH))
	if err != nil {
		t.Fatal(err)
	}
	return unpack(t, img)
}

// container describes one boot of a root file system. Writes go to an overlay of its
// own.
type container struct {
	env     map[string]string
	files   map[string]string // content by path
	config  string            // host directory mounted at /config; empty for none
	command []string
	user    string // "UID:GID"; empty for root
	network bool   // the host's network instead of none
}

type outcome struct {
	out  string // standard output and standard error
	code int
}

// stage mounts a container's file system and runs the command in it as process 1.
const stage = `set -e
mount -t tmpfs tmpfs "$WORK"
mkdir "$WORK/new" "$WORK/work" "$WORK/root"
cp -a "$WORK.files/." "$WORK/new"
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$WORK/new,workdir=$WORK/work" "$WORK/root"
cd "$WORK/root"
mount -t proc proc proc
mount --rbind /dev dev
[ -z "$CONFIG" ] || mount --bind "$CONFIG" config
ip link set lo up
exec env -i "$@"`

func (r *rootfs) boot(t testing.TB, c container) outcome {
	t.Helper()
	work := t.TempDir()
	files := work + ".files"
	if err := os.Mkdir(files, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(files)
	for path, content := range c.files {
		to := filepath.Join(files, path)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}

	args := []string{"--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts"}
	if !c.network {
		args = append(args, "--net")
	}
	args = append(args, "sh", "-c", stage, "stage")
	args = append(args, r.config.Env...)
	args = append(args, "S6_KILL_GRACETIME=50")
	for _, name := range slices.Sorted(maps.Keys(c.env)) {
		args = append(args, name+"="+c.env[name])
	}
	args = append(args, "/usr/sbin/chroot")
	if c.user != "" {
		args = append(args, "--userspec="+c.user, "--groups=")
	}
	args = append(args, ".")
	args = append(args, r.config.Entrypoint...)
	args = append(args, c.command...)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", args...)
	cmd.Env = append(os.Environ(), "LOWER="+r.dir, "WORK="+work, "CONFIG="+c.config)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("booting: %v; output:\n%s", err, &out)
	}
	return outcome{out: out.String(), code: cmd.ProcessState.ExitCode()}
}

// run boots with a script as the container's command. The script has the same
// environment as a service.
func (r *rootfs) run(t testing.TB, c container, script string) outcome {
	t.Helper()
	c.command = []string{"with-contenv", "bash", "-c", script}
	return r.boot(t, c)
}

func (o outcome) has(t testing.TB, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(o.out, w) {
			t.Errorf("no %q in the output:\n%s", w, o.out)
		}
	}
}

func (o outcome) lacks(t testing.TB, unwanted ...string) {
	t.Helper()
	for _, w := range unwanted {
		if strings.Contains(o.out, w) {
			t.Errorf("%q is in the output:\n%s", w, o.out)
		}
	}
}

func (o outcome) exits(t testing.TB, code int) {
	t.Helper()
	if o.code != code {
		t.Errorf("it exited %d, expected %d; output:\n%s", o.code, code, o.out)
	}
}

// cacheWithPackagesOf returns a new cache that contains only the package layers of
// an existing one, which take minutes to build.
func cacheWithPackagesOf(t testing.TB, cache string) string {
	t.Helper()
	fresh := t.TempDir()
	packages, err := filepath.Glob(filepath.Join(cache, "debian-base-"+runtime.GOARCH+"-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range packages {
		if strings.HasSuffix(dir, ".part") {
			continue
		}
		if err := os.CopyFS(filepath.Join(fresh, filepath.Base(dir)), os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
	}
	return fresh
}
