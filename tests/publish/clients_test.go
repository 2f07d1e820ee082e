package publish_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/image-spec/schema"
	spec "github.com/opencontainers/image-spec/specs-go/v1"
)

// within runs a program from Debian in its root directory. /proc and /dev/shm
// are mounted for the duration of the command.
func within(t testing.TB, args ...string) (stdout string) {
	t.Helper()
	root := debianRoot(t)
	cmd := exec.CommandContext(t.Context(), "unshare", append([]string{"--mount", "sh", "-c",
		`mount --bind "$0" "$0" && cd "$0" && mount -t proc proc "$0/proc" && mkdir -p "$0/dev/shm" && mount -t tmpfs shm "$0/dev/shm" && exec chroot "$0" "$@"`, root}, args...)...)
	return output(t, cmd, args)
}

// output runs a command and returns its standard output. When the command fails
// it reports an error with its arguments.
func output(t testing.TB, cmd *exec.Cmd, args []string) string {
	t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

func TestClientsOfOthersPullBothPlatformsByEveryTag(t *testing.T) {
	root := debianRoot(t)
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			backend := kind.start(t).host
			c := newContent(t, 20_000)
			repo := newRepository()
			_, err := publish(t.Context(), t, c, backend, repo, "1.0")
			must(t, err)
			for _, tag := range []string{"1.0", "latest", "amd64-latest"} {
				ref := backend + "/" + repo + ":" + tag
				for _, platform := range platforms {
					if tag == "amd64-latest" && platform.Architecture != "amd64" {
						continue
					}
					want := c.booted["linux/"+platform.Architecture].String()

					dir := newDir(t, root)
					within(t, "skopeo", "--override-arch", platform.Architecture, "copy", "--quiet", "--src-tls-verify=false", "docker://"+ref, "dir:"+dir)
					manifest, err := os.ReadFile(filepath.Join(root, dir, "manifest.json"))
					must(t, err)
					if got, _, _ := v1.SHA256(strings.NewReader(string(manifest))); got.String() != want {
						t.Errorf("skopeo pulled %s of %s, want %s", got, ref, want)
					}

					podman := []string{"podman", "--root", dir + "/storage", "--runroot", dir + "/run", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"}
					within(t, append(podman, "pull", "--quiet", "--tls-verify=false", "--arch", platform.Architecture, ref)...)
					if got := strings.TrimSpace(within(t, append(podman, "image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", ref)...)); got != "linux/"+platform.Architecture {
						t.Errorf("podman pulled an image for %s of %s, want one for %s", got, ref, platform)
					}
				}
			}
			// Copy all platforms at once, as a mirror does.
			dir := newDir(t, root)
			within(t, "skopeo", "copy", "--quiet", "--all", "--src-tls-verify=false", "docker://"+backend+"/"+repo+":latest", "dir:"+dir)
			index, err := os.ReadFile(filepath.Join(root, dir, "manifest.json"))
			must(t, err)
			if got, _, _ := v1.SHA256(strings.NewReader(string(index))); got.String() != c.digest {
				t.Errorf("skopeo copied %s, want %s", got, c.digest)
			}
		})
	}
}

func TestEveryManifestIsAsTheSpecificationWantsIt(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			backend := kind.start(t).host
			c := newContent(t, 2000)
			repo := newRepository()
			_, err := publish(t.Context(), t, c, backend, repo, "1.0")
			must(t, err)
			tags, err := walk(backend, repo)
			must(t, err)
			var validated int
			var validate func(digest string)
			validate = func(digest string) {
				body, status, err := get("http://" + backend + "/v2/" + repo + "/manifests/" + digest)
				if err != nil || status != 200 {
					t.Fatalf("%s: status %d, %v", digest, status, err)
				}
				var m struct {
					MediaType string
					Manifests []struct {
						Digest   string
						Platform *v1.Platform
					}
					Config *struct{ MediaType, Digest string }
				}
				must(t, json.Unmarshal(body, &m))
				if err := schema.Validator(m.MediaType).Validate(strings.NewReader(string(body))); err != nil {
					t.Errorf("%s (%s) is not valid: %v\n%s", digest, m.MediaType, err, body)
				}
				validated++
				for _, child := range m.Manifests {
					if child.Platform != nil && (child.Platform.OS == "unknown" || child.Platform.Architecture == "unknown") {
						t.Errorf("%s names an image of an unknown platform: %s", digest, body)
					}
					validate(child.Digest)
				}
				if m.Config == nil || m.Config.MediaType != spec.MediaTypeImageConfig {
					return
				}
				config, _, err := get("http://" + backend + "/v2/" + repo + "/blobs/" + m.Config.Digest)
				must(t, err)
				if err := schema.Validator(m.Config.MediaType).Validate(strings.NewReader(string(config))); err != nil {
					t.Errorf("the configuration of %s is not valid: %v\n%s", digest, err, config)
				}
				validated++
			}
			for _, digest := range tags {
				validate(digest)
			}
			for _, subject := range c.subjects() {
				for _, digest := range attachedTo(t, backend, repo, subject) {
					validate(digest)
				}
			}
			if validated < 13 { // the index and its images twice, an image once, each with its configuration, and two documents
				t.Errorf("only %d documents were validated", validated)
			}
		})
	}
}
