package rehearsal

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/tests/need"
	"github.com/linuxserver/docker-netbox/tests/testrepo"
)

// Runs the first command of README in a container whose home is not a volume.
// The machine's caches of packages and tools are mounted; builds and booted
// containers are on the container's own root file system.
func TestCheckRunsInAPrivilegedContainerAndNamesWhatAnotherLacks(t *testing.T) {
	if !*soak {
		t.Skip("SKIPPED: it builds and boots the image in a container: run with -soak")
	}
	need.Root(t, "running Docker")
	dir := t.TempDir()
	settings := goSettings(t)
	source, program := filepath.Join(dir, "source"), filepath.Join(dir, "ci")
	testrepo.Sh(t, "../..", `git clone --quiet . "$1" && cd "$1" && go build -o "$2" ./ci`, source, program)
	user, err := os.UserCacheDir()
	must(t, err)
	cache := filepath.Join(user, "docker-netbox")
	volumes := []string{settings["GOCACHE"], settings["GOMODCACHE"], settings["GOROOT"], "/etc/ssl/certs/ca-certificates.crt"}
	for _, name := range []string{"base", "tools", "engine/local/tools"} {
		must(t, os.MkdirAll(filepath.Join(cache, name), 0o755))
		volumes = append(volumes, filepath.Join(cache, name))
	}
	docker := startDocker(t, dir, volumes...)
	image := strings.Fields(testrepo.Sh(t, "../..", `sed -n 's/^container: //p' versions.yml`))[0]
	docker.load(t, image)
	check := func(t *testing.T, privileged bool) (code int, log string) {
		t.Helper()
		return docker.run(t, dir, image, privileged, []string{
			"PATH=" + filepath.Join(settings["GOROOT"], "bin") + ":/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "XDG_CACHE_HOME=" + user,
			"GOFLAGS=" + settings["GOFLAGS"], "GOCACHE=" + settings["GOCACHE"], "GOMODCACHE=" + settings["GOMODCACHE"], "GOPROXY=" + settings["GOPROXY"],
		}, program, "check", "--repo", source, "--output", filepath.Join(dir, "dist"), "--platform", "linux/amd64")
	}

	t.Run("ordinary", func(t *testing.T) {
		code, log := check(t, false)
		if code != 2 || strings.Count(log, "\n") != 1 || !strings.Contains(log, "CAP_SYS_ADMIN") || !strings.Contains(log, "docker run --privileged") {
			t.Errorf("status %d:\n%s", code, log)
		}
	})
	t.Run("privileged", func(t *testing.T) {
		code, log := check(t, true)
		if code != 0 || !strings.Contains(log, "which carries no overlays: builds and containers are kept in ") {
			t.Errorf("status %d:\n%s", code, log)
		}
		if _, err := os.Stat(filepath.Join(dir, "dist", "report", "index.html")); err != nil {
			t.Errorf("there is no report: %v", err)
		}
	})
}

// run runs a command in a container and returns its exit code and output.
func (d *dockerDaemon) run(t *testing.T, dir, image string, privileged bool, env []string, command ...string) (code int, log string) {
	t.Helper()
	file := filepath.Join(dir, "log")
	ask := func(method, path string, body, into any) {
		t.Helper()
		data, err := json.Marshal(body)
		must(t, err)
		req, err := http.NewRequestWithContext(t.Context(), method, "http://docker"+path, bytes.NewReader(data))
		must(t, err)
		req.Header.Set("Content-Type", "application/json")
		resp, err := d.client.Do(req)
		must(t, err)
		defer resp.Body.Close()
		if resp.StatusCode >= http.StatusBadRequest {
			var why struct{ Message string }
			_ = json.NewDecoder(resp.Body).Decode(&why)
			t.Fatalf("%s %s: %s: %s", method, path, resp.Status, why.Message)
		}
		if into != nil {
			must(t, json.NewDecoder(resp.Body).Decode(into))
		}
	}
	var binds []string
	for _, v := range d.volumes {
		binds = append(binds, v+":"+v)
	}
	var container struct{ ID string }
	ask(http.MethodPost, "/containers/create", map[string]any{
		"Image": image, "Env": env, "Cmd": append([]string{"sh", "-c", `exec "$@" >"$0" 2>&1`, file}, command...),
		"HostConfig": map[string]any{"Privileged": privileged, "NetworkMode": "host", "CgroupnsMode": "host", "Binds": binds},
	}, &container)
	defer ask(http.MethodDelete, "/containers/"+container.ID+"?force=1&v=1", nil, nil)
	ask(http.MethodPost, "/containers/"+container.ID+"/start", nil, nil)
	var ended struct{ StatusCode int }
	ask(http.MethodPost, "/containers/"+container.ID+"/wait", nil, &ended)
	text, err := os.ReadFile(file)
	must(t, err)
	return ended.StatusCode, string(text)
}
