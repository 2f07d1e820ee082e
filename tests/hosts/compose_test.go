package hosts

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newDocker starts a host with Docker, Docker Compose and the loaded images.
func newDocker(t *testing.T) *host {
	t.Helper()
	h := newHost(t, "docker.io", "docker-cli", "docker-compose", "iptables")
	h.daemon()
	h.run("docker load --quiet --input /images.tar")
	return h
}

// daemon starts Docker, as init does on a real host.
func (h *host) daemon() {
	h.t.Helper()
	h.run("rm -f /run/docker.pid; setsid dockerd >>/var/log/dockerd.log 2>&1 </dev/null &")
	h.until("docker version")
}

// Secrets of the databases of older releases. tests/life creates these databases.
const (
	oldSecretKey = "r(m)9nLGnz$(_q3N4z1k(EFsMCjjjzx08x9VhNVcfd%6RF#r!6DE@+V5Zk2X"
	oldToken     = "0123456789abcdef0123456789abcdef01234567"
	oldKey       = "Gamlilykill1"
	oldPepper    = "an old pepper of fifty characters and then some more of them"
)

const (
	opens  = "curl -fsS --max-time 60 -o /dev/null http://localhost:8000/login/"
	health = `[ "$(docker inspect -f '{{.State.Health.Status}}' netbox)" = healthy ]`
)

// TestDockerComposeRunsTheFileOfTheReadme runs the file through what happens in
// operation: new containers, services that start in another order, a power cut.
func TestDockerComposeRunsTheFileOfTheReadme(t *testing.T) {
	t.Parallel()
	h := newDocker(t)
	h.write("root/netbox/compose.yaml", block(t, "README.md", "yaml", "services:"))
	h.run("cd /root/netbox && docker compose up -d")
	h.until(opens)
	h.until(health)
	h.run(site)
	h.run("cd /path/to/netbox/config && ls keys/secret_key && echo photo >media/photo.png")

	for _, step := range []struct{ name, script string }{
		{"new containers", "cd /root/netbox && docker compose down && docker compose up -d"},
		{"a service after the other", "docker stop netbox netbox-redis netbox-postgres && docker start netbox && sleep 15 && docker start netbox-redis && sleep 5 && docker start netbox-postgres"},
		{"NetBox alone for longer than it waits", "docker stop netbox netbox-redis netbox-postgres && docker start netbox && sleep 140 && docker start netbox-postgres netbox-redis"},
	} {
		began := time.Now()
		h.run(step.script)
		h.until(opens)
		t.Logf("%s: it answers after %.0f s", step.name, time.Since(began).Seconds())
		h.run(kept)
	}

	h.halt()
	h.boot()
	h.daemon() // Docker starts the containers in any order
	h.until(opens)
	h.run(kept)
	h.until(health)
	h.run("grep -q photo /path/to/netbox/config/media/photo.png")
	h.run("cd /root/netbox && docker compose down")
	if left := strings.TrimSpace(h.run("docker ps -aq; docker volume ls -q")); left != "" {
		t.Errorf("down leaves containers or volumes: %s", left)
	}
}

// netboxDocker is an outline of netbox-docker's compose file: its names and volumes.
const netboxDocker = `
services:
  netbox: &netbox
    image: docker.io/library/postgres:17 # stands for it
    depends_on: [postgres, redis]
    entrypoint: [sleep, infinity]
    volumes:
      - netbox-media-files:/opt/netbox/netbox/media:rw
      - netbox-reports-files:/opt/netbox/netbox/reports:rw
      - netbox-scripts-files:/opt/netbox/netbox/scripts:rw
  netbox-worker:
    <<: *netbox
    depends_on: [netbox]
  postgres:
    image: docker.io/library/postgres:17
    environment: {POSTGRES_DB: netbox, POSTGRES_USER: netbox, POSTGRES_PASSWORD: J5brHrAXFLQSif0K}
    volumes:
      - netbox-postgres-data:/var/lib/postgresql/data
  redis:
    image: docker.io/library/redis:8
volumes:
  netbox-media-files:
  netbox-postgres-data:
  netbox-reports-files:
  netbox-scripts-files:
`

// TestTheStepsFromNetboxDockerWorkAsTheyAreTyped runs the commands of
// docs/migration.md.
func TestTheStepsFromNetboxDockerWorkAsTheyAreTyped(t *testing.T) {
	t.Parallel()
	h := newDocker(t)
	h.write("root/netbox-docker/docker-compose.yml", netboxDocker)
	h.write("root/netbox/compose.yaml", strings.Replace(block(t, "README.md", "yaml", "services:"), "      - SUPERUSER_EMAIL=", "      - SKIP_SUPERUSER=true\n      - SUPERUSER_EMAIL=", 1))
	h.dump("4.6.8", "root/old.sql")
	h.run(`cd /root/netbox-docker
docker compose up -d
until docker compose exec -T postgres pg_isready -q -h localhost; do sleep 1; done
docker compose exec -T postgres psql -q -v ON_ERROR_STOP=1 -o /dev/null -U netbox -d netbox </root/old.sql
docker compose exec -T netbox sh -c 'cd /opt/netbox/netbox && mkdir media/image-attachments && echo photo >media/image-attachments/site_1_photo.png && echo "# a script" >scripts/theirs.py'`)

	h.run("cd /root/netbox-docker\n" + block(t, "docs/migration.md", "bash", "docker compose cp"))
	h.run("cd /root/netbox-docker && mv netbox.sql media scripts ../netbox/")
	h.run("cd /root/netbox\n" + block(t, "docs/migration.md", "bash", "docker compose up -d postgres"))
	h.run("cd /root/netbox\n" + block(t, "docs/migration.md", "bash", "cp -a media/."))
	h.run(strings.NewReplacer("the old SECRET_KEY", oldSecretKey, "the old pepper number 1", oldPepper).Replace(block(t, "docs/migration.md", "bash", "secret_key")))
	h.run("cd /root/netbox && docker compose up -d")
	h.until(opens)
	h.run(`curl -fsS --max-time 60 -H 'Authorization: Bearer nbt_` + oldKey + "." + oldToken + `' 'http://localhost:8000/api/extras/image-attachments/?name=photo' | grep -F '"count":1,'`)
	if got := h.run("docker compose -f /root/netbox/compose.yaml exec -T netbox sh -c 'cd /config && stat -c %U media/image-attachments/site_1_photo.png scripts/theirs.py && cat media/image-attachments/site_1_photo.png'"); got != "abc\nabc\nphoto\n" {
		t.Errorf("an upload and a script belong to, and the upload is, %q", got)
	}
	h.run("docker compose -f /root/netbox/compose.yaml down")
}

// dump writes the database of an older release to a file of the host.
func (h *host) dump(release, file string) {
	h.t.Helper()
	packed, err := os.Open(filepath.Join(repository, "tests/life/testdata/older", release+".sql.gz"))
	must(h.t, err)
	defer packed.Close()
	reader, err := gzip.NewReader(packed)
	must(h.t, err)
	text, err := io.ReadAll(reader)
	must(h.t, err)
	h.write(file, string(text))
}
