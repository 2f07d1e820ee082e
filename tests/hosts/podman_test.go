package hosts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// newPodman starts a host with podman and the packages that Debian recommends for it.
func newPodman(t *testing.T) *host {
	t.Helper()
	return newHost(t, "podman", "aardvark-dns", "catatonit", "crun", "golang-github-containers-common", "golang-github-containers-image",
		"netavark", "nftables", "passt", "passwd", "uidmap")
}

// services returns the commands of docs/operation.md that start PostgreSQL and
// Redis, for podman, which does not create missing host directories.
func services(t *testing.T) string {
	t.Helper()
	return "mkdir -p /path/to/netbox/postgres /path/to/netbox/redis\n" +
		strings.ReplaceAll(block(t, "docs/operation.md", "bash", "docker network create"), "docker ", "podman ")
}

// TestPodmanPlaysTheExampleForKubernetes runs the unchanged docs/kubernetes.yaml.
func TestPodmanPlaysTheExampleForKubernetes(t *testing.T) {
	t.Parallel()
	h := newPodman(t)
	example, err := os.ReadFile(filepath.Join(repository, "docs/kubernetes.yaml"))
	must(t, err)
	h.write("root/kubernetes.yaml", string(example))
	h.run("podman load --quiet --input /images.tar")
	h.run(services(t))
	play := "cd /root\n" + block(t, "docs/operation.md", "bash", "podman kube play")
	h.run(play)
	h.until(ready)
	h.run("curl -fsS --max-time 30 http://localhost:8000/live")
	h.run(asNamed(site))
	for range 2 { // the startup probe, then the liveness probe
		h.run("podman healthcheck run netbox-pod-netbox")
	}
	if got := h.run("podman inspect -f '{{.State.Health.Status}}' netbox-pod-netbox"); got != "healthy\n" {
		t.Errorf("podman finds it %s", got)
	}

	h.run("podman pod restart netbox-pod")
	h.until(ready)
	h.run(asNamed(kept))

	h.run("cd /root && podman kube down kubernetes.yaml")
	if left := h.run("podman ps -a --format '{{.Names}}' | sort"); left != "netbox-postgres\nnetbox-redis\n" {
		t.Errorf("kube down leaves %q", left)
	}
	h.run(play)
	h.until(ready)
	h.run(asNamed(kept))
	h.run("cd /root && podman kube down --force kubernetes.yaml")
	if left := h.run("podman volume ls -q; podman secret ls -q"); left != "" {
		t.Errorf("kube down --force leaves %q", left)
	}
}

const ready = "curl -fsS --max-time 30 -o /dev/null http://localhost:8000/ready"

// asNamed adds the host name that the example allows to the requests of a script.
func asNamed(script string) string {
	return strings.ReplaceAll(script, "curl ", "curl -H 'Host: netbox.example.com' ")
}

// TestRootlessPodmanRunsItAsTheUsersOfThePage checks what docs/operation.md says
// about users under rights and limits.
func TestRootlessPodmanRunsItAsTheUsersOfThePage(t *testing.T) {
	t.Parallel()
	h := newPodman(t)
	h.run("useradd --create-home --uid 1000 ops && mkdir -p /run/user/1000 /path/to && chown ops: /run/user/1000 /path/to")
	as := func(script string) string { // all scripts use the same file
		file := filepath.Join(h.root, "home/ops/script")
		must(t, os.WriteFile(file, []byte("set -euo pipefail\ncd\n"+script+"\n"), 0o644))
		return "setpriv --reuid=ops --regid=ops --init-groups env HOME=/home/ops XDG_RUNTIME_DIR=/run/user/1000 bash /home/ops/script"
	}
	h.run(as("podman load --quiet --input /images.tar"))
	h.run(as(services(t)))
	const variables = "-e SUPERUSER_PASSWORD=change-this-password -e ALLOWED_HOST=localhost -e DB_USER=netbox -e DB_PASSWORD=change-this-too"
	for _, test := range []struct {
		name, options, prepare string
		owner                  string // of /config, on the host
		user                   string // of the processes, in the container
	}{
		{"PUID", "-e PUID=1000 -e PGID=1000", "", "100999", "1000"},
		{"keep-id", "--userns=keep-id", "", "1000", "1000"},
		{"keep-id and PUID", "--userns=keep-id --user root -e PUID=1000 -e PGID=1000", "", "1000", "1000"},
		{"user", "--user 1000:1000", "podman unshare chown 1000:1000 config", "100999", "1000"},
		{"keep-id, read-only", "--userns=keep-id --read-only --tmpfs /run:exec --tmpfs /tmp", "", "1000", "1000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := *h
			h.t = t
			h.run(as("podman unshare rm -rf config; mkdir config; " + test.prepare))
			h.run(as("podman run -d --name netbox --network netbox -p 8000:8000 -v ./config:/config " + variables + " " + test.options + " lscr.io/linuxserver/netbox:latest"))
			h.until(ready)
			if got := strings.TrimSpace(h.run("stat -c %u /home/ops/config/keys/secret_key")); got != test.owner {
				t.Errorf("the key belongs to %s on the host, want %s", got, test.owner)
			}
			h.run(as("podman stop netbox"))
			if got := h.run(as("podman inspect -f '{{.State.ExitCode}}' netbox")); got != "0\n" {
				t.Errorf("it ended with %s", got)
			}
			log := h.run(as("podman logs netbox 2>&1"))
			for _, sign := range []string{"fatal", "ermission denied", "not permitted", "Traceback"} {
				if strings.Contains(log, sign) {
					t.Errorf("the log has %q: %s", sign, log)
				}
			}
			h.run(as("podman rm netbox"))
		})
	}
}
