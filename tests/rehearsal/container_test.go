package rehearsal

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/linuxserver/docker-netbox/pipeline/base/basetest"
	"github.com/linuxserver/docker-netbox/tests/testrepo"
)

// Runs the image job of a pull request without replacements: its real container,
// in Debian's Docker, builds, boots and checks the image. The caches of the
// machine and of Go are mounted. Another user owns the checkout.
func TestTheImageJobRunsInItsContainer(t *testing.T) {
	if !*soak {
		t.Skip("SKIPPED: it builds and boots the image in a container: run with -soak")
	}
	w := newWorld(t)
	settings := goSettings(t)
	cache, err := os.UserCacheDir()
	must(t, err)
	dir := filepath.Dir(w.state)
	docker := startDocker(t, dir, filepath.Join(cache, "docker-netbox"), settings["GOCACHE"], settings["GOMODCACHE"], settings["GOROOT"], "/etc/ssl/certs/ca-certificates.crt")
	image := strings.Fields(testrepo.Sh(t, w.source, `sed -n 's/^container: //p' versions.yml`))[0]
	docker.load(t, image)
	*limit = max(*limit, time.Hour)
	w.environ["DOCKER_HOST"] = "unix://" + docker.socket
	testrepo.Sh(t, w.state, `git --git-dir origin.git update-ref refs/pull/7/merge "$1"`, w.sha(t, "main"))
	res := w.run(t, run{
		workflow: "pull-request", event: "pull_request", ref: "refs/pull/7/merge", job: "image", matrix: "platform:linux/amd64",
		volumes: docker.volumes,
		env: map[string]string{
			"GOFLAGS": settings["GOFLAGS"], "GOCACHE": settings["GOCACHE"], "GOMODCACHE": settings["GOMODCACHE"], "GOPROXY": settings["GOPROXY"],
			"XDG_CACHE_HOME": cache, "REHEARSAL": w.state, "REHEARSAL_GO": w.environ["REHEARSAL_GO"], "REHEARSAL_OWNER": "1001",
		},
	})
	res.want(t, map[string]string{"pins": "success", "image linux/amd64": "success"})
	if _, err := os.Stat(filepath.Join(w.state, "artifacts", "1001-1", "report-amd64", "report", "index.html")); err != nil {
		t.Errorf("the report is not kept: %v", err)
	}
}

// dockerDaemon is a running dockerd from Debian.
type dockerDaemon struct {
	socket  string
	volumes []string
	client  *http.Client
}

// startDocker starts Docker in its own PID and mount namespaces. It shares the
// host's network, but its flags prevent changes to it. Containers can mount the
// volumes. Docker and its containers stop when the test ends.
func startDocker(t *testing.T, dir string, volumes ...string) *dockerDaemon {
	t.Helper()
	root, err := os.MkdirTemp("", "") // a short path: that of a socket is limited to 107 characters
	must(t, err)
	must(t, os.Chmod(root, 0o755))
	files := mutate.Extract(basetest.Packages(t, "../..", "trixie", "docker.io", "iptables", "mount"))
	unpack := exec.CommandContext(t.Context(), "tar", "--extract", "--directory", root)
	unpack.Stdin = files
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("unpack Docker: %v: %s", err, out)
	}
	must(t, files.Close())
	d := &dockerDaemon{socket: filepath.Join(root, "run", "docker.sock"), volumes: append(volumes, dir)}
	log, err := os.Create(filepath.Join(dir, "docker.log"))
	must(t, err)
	cmd := exec.Command("unshare", append([]string{"--mount", "--pid", "--fork", "--kill-child=KILL", "sh", "-euc", `
root=$1 group=$2
shift 2
mount --rbind "$root" "$root"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
for file in /etc/resolv.conf /etc/hosts; do cp -L "$file" "$root$file"; done
for v; do
  if [ -d "$v" ]; then mkdir -p "$root$v"; else mkdir -p "$(dirname "$root$v")" && touch "$root$v"; fi
  mount --rbind "$v" "$root$v"
done
mkdir -p "$root/.old"
cd "$root"
pivot_root . .old # in a mere chroot, what runs in a container would see the machine
exec chroot . sh -euc 'umount -l /.old && exec dockerd --host unix:///run/docker.sock --bridge none --iptables=false --ip6tables=false --ip-forward=false \
  --data-root /var/lib/docker --cgroup-parent "$0" --group root' "$group"
`, "sh", root, cgroups}, d.volumes...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, begin(cmd))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = end(cmd)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		must(t, os.RemoveAll(root))
		sweepCgroups()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name()) // may be empty or incomplete
			t.Logf("the end of Docker's log:\n%s", text[max(0, len(text)-4000):])
		}
	})
	d.client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", d.socket)
	}}}
	for range 600 {
		var resp *http.Response
		if resp, err = d.client.Get("http://docker/_ping"); err == nil {
			resp.Body.Close()
			return d
		}
		select {
		case <-ended:
			t.Fatal("Docker ended before it answered")
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Fatalf("Docker does not answer after a minute: %v", err)
	return nil
}

// load builds and loads the job's image with the packages of buildpack-deps:scm.
func (d *dockerDaemon) load(t *testing.T, reference string) {
	t.Helper()
	b := basetest.Builder(t, "../..")
	b.Suite = "trixie"
	img, err := b.Packages(t.Context(), "apt", "ca-certificates", "curl", "git", "gnupg", "mount", "passwd", "procps", "wget")
	must(t, err)
	text, err := b.Sources(t.Context())
	must(t, err)
	var sources bytes.Buffer
	files := tar.NewWriter(&sources)
	must(t, files.WriteHeader(&tar.Header{Name: "etc/apt/sources.list", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))}))
	_, err = io.WriteString(files, text)
	must(t, err)
	must(t, files.Close())
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(sources.Bytes())), nil })
	must(t, err)
	img, err = mutate.AppendLayers(img, layer)
	must(t, err)
	tag, err := name.NewTag(strings.Split(reference, "@")[0])
	must(t, err)
	pipe, in := io.Pipe()
	go func() { _ = in.CloseWithError(tarball.Write(tag, img, in)) }()
	resp, err := d.client.Post("http://docker/images/load", "application/x-tar", pipe)
	must(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != http.StatusOK || bytes.Contains(answer, []byte(`"error"`)) {
		t.Fatalf("load %s: %s: %s", reference, resp.Status, answer)
	}
}
