package life

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
)

// fence returns the code block that contains sign, from README.md or a page in docs.
func fence(t *testing.T, language, sign string) string {
	t.Helper()
	pages, err := filepath.Glob(filepath.Join(repository, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append([]string{filepath.Join(repository, "README.md")}, pages...) {
		page, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllSubmatch(page, -1) {
			if bytes.Contains(m[1], []byte(sign)) {
				return string(m[1])
			}
		}
	}
	t.Fatalf("neither README.md nor docs has a %s block with %q", language, sign)
	return ""
}

// composition is the compose file. Other keys are an error, as this test would ignore
// them.
type composition struct {
	Services map[string]composed `yaml:"services"`
}

type composed struct {
	Image       string   `yaml:"image"`
	Name        string   `yaml:"container_name"`
	Environment []string `yaml:"environment"`
	Volumes     []string `yaml:"volumes"`
	Ports       []string `yaml:"ports"`
	DependsOn   []string `yaml:"depends_on"`
	Restart     string   `yaml:"restart"`
}

// stack runs the services of a compose file.
type stack struct {
	*world
	file  composition
	root  string   // used as the host's root directory
	order []string // services, each after its dependencies
	up    map[string]*local.Container
}

func composeOf(t *testing.T, text string) composition {
	t.Helper()
	var file composition
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatalf("the compose file of README.md: %v", err)
	}
	return file
}

func newStack(w *world, file composition) *stack {
	w.t.Helper()
	s := &stack{world: w, file: file, root: w.t.TempDir(), up: map[string]*local.Container{}}
	for len(s.order) < len(file.Services) {
		before := len(s.order)
		for _, name := range []string{"netbox", "postgres", "redis"} {
			service, known := file.Services[name]
			if !known {
				w.t.Fatalf("there is no service %s", name)
			}
			ready := !slices.ContainsFunc(service.DependsOn, func(other string) bool { return !slices.Contains(s.order, other) })
			if ready && !slices.Contains(s.order, name) {
				s.order = append(s.order, name)
			}
		}
		if len(s.order) == before {
			w.t.Fatalf("after %s no service can start", s.order)
		}
	}
	return s
}

// container returns a service as an engine runs it. Debian's PostgreSQL and Redis of
// the major version in the file replace the official images and handle the settings in
// the file as those do.
func (s *stack) container(name string) engine.Container {
	s.t.Helper()
	service := s.file.Services[name]
	repo, _, _ := strings.Cut(service.Image, ":")
	c := engine.Container{Name: name, Env: map[string]string{}}
	switch repo {
	case "lscr.io/linuxserver/netbox":
		c.Image = machine.image
	case "docker.io/library/postgres":
		c.Image, c.Entrypoint = s.sides.Postgres.Image, s.sides.Postgres.Entrypoint
	case "docker.io/library/redis":
		c.Image, c.Entrypoint = s.sides.Redis.Image, s.sides.Redis.Entrypoint
	default:
		s.t.Fatalf("%s: nothing here stands for the image %s", name, service.Image)
	}
	for _, variable := range service.Environment {
		key, value, ok := strings.Cut(variable, "=")
		if !ok {
			s.t.Fatalf("%s: the variable %q has no value", name, variable)
		}
		c.Env[key] = value
	}
	for _, volume := range service.Volumes {
		host, path, ok := strings.Cut(volume, ":")
		if !ok || !filepath.IsAbs(host) || !filepath.IsAbs(path) {
			s.t.Fatalf("%s: the volume %q is not two paths", name, volume)
		}
		host = filepath.Join(s.root, host)
		if err := os.MkdirAll(host, 0o755); err != nil { // as Docker does
			s.t.Fatal(err)
		}
		c.Mounts = append(c.Mounts, engine.Mount{Path: path, Host: host})
	}
	if service.Restart != "unless-stopped" {
		s.t.Errorf("%s restarts %q, want unless-stopped", name, service.Restart)
	}
	return c
}

// start does what `docker compose up -d` does: it creates containers without waiting.
func (s *stack) start() {
	s.t.Helper()
	for _, name := range s.order {
		s.up[name] = s.world.start(s.container(name))
	}
}

// versionsFit checks that Debian's packages have the versions of the official images.
func (s *stack) versionsFit() {
	s.t.Helper()
	for name, says := range map[string]string{"postgres": "postgres (PostgreSQL) %s.", "redis": "Redis server v=%s."} {
		_, tag, _ := strings.Cut(s.file.Services[name].Image, ":")
		program := map[string]string{"postgres": "postgres", "redis": "redis-server"}[name]
		out, _, code, err := s.up[name].Exec(s.t.Context(), []string{program, "--version"}, nil)
		if want := fmt.Sprintf(says, tag); err != nil || code != 0 || !strings.HasPrefix(out, want) {
			s.t.Errorf("%s stands for %s, but is %q: status %d, %v", name, s.file.Services[name].Image, out, code, err)
		}
	}
}

// documentedCommands runs the commands of docs/operation.md in their containers.
func (s *stack) documentedCommands(user string) {
	s.t.Helper()
	const changed = "another-Passw0rd-for-admin"
	for _, c := range []struct{ sign, more, in, says string }{
		{"nbshell", ` -c "from dcim.models import Site; print('sites', Site.objects.count())"`, "", "sites 1\n"},
		{"changepassword", "", changed + "\n" + changed + "\n", "changed successfully"},
	} {
		command := strings.TrimSpace(fence(s.t, "bash", c.sign))
		words, err := exec.CommandContext(s.t.Context(), "bash", "-c", `docker() { printf '%s\0' "$@"; }; `+command+c.more).Output()
		if err != nil {
			s.t.Fatal(err)
		}
		args := strings.Split(strings.TrimSuffix(string(words), "\x00"), "\x00")
		if len(args) < 4 || args[0] != "exec" || args[1] != "-it" || args[2] != s.file.Services["netbox"].Name {
			s.t.Fatalf("docs/operation.md runs %q, want docker exec -it %s …", args, s.file.Services["netbox"].Name)
		}
		out, errs, code, err := s.up["netbox"].Exec(s.t.Context(),
			append([]string{"sh", "-c", `printf %s "$TYPED" | "$@"`, "sh"}, args[3:]...), map[string]string{"TYPED": c.in})
		if err != nil || code != 0 || !strings.Contains(out, c.says) {
			s.t.Errorf("%s: status %d, %v, %q, %q; want %q", command, code, err, out, errs, c.says)
		}
	}
	s.answers("8000").mustLogIn(user, changed)
	if dump := fence(s.t, "bash", "pg_dump"); !strings.Contains(dump, "docker exec "+s.file.Services["postgres"].Name+" pg_dump -U "+s.container("postgres").Env["POSTGRES_USER"]+" "+s.container("postgres").Env["POSTGRES_DB"]+" ") {
		s.t.Errorf("the backup does not fit the compose file: %s", dump)
	}
	alone := fence(s.t, "bash", "docker network create")
	for _, name := range []string{"postgres", "redis"} {
		service := s.file.Services[name]
		for _, option := range append([]string{"--name=" + service.Name, "--network-alias=" + name, service.Image}, service.Volumes...) {
			if !strings.Contains(alone, option) {
				s.t.Errorf("what starts %s without compose has no %s: %s", name, option, alone)
			}
		}
	}
}

// stop does what `docker compose stop` does. It stops the services in reverse order.
func (s *stack) stop() {
	s.t.Helper()
	for _, name := range slices.Backward(s.order) {
		if code, err := s.up[name].Stop(s.t.Context()); err != nil || code != 0 {
			s.t.Errorf("stop %s: status %d, %v; want 0", name, code, err)
		}
	}
}

// restart does what `docker compose start` does: it starts the stopped containers.
func (s *stack) restart() {
	s.t.Helper()
	for _, name := range s.order {
		again, err := s.up[name].Restart(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		s.up[name] = again
	}
}

// answers waits until the log-in page is available and opens it.
func (s *stack) answers(port string) *browser {
	s.t.Helper()
	b := s.browse("http://localhost:"+port, nil)
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		if res, err := b.client.Get(b.base + "/login/"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return b
			}
		}
		select {
		case <-s.up["netbox"].Done():
			s.t.Fatal("netbox ended before it answered")
		default:
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("netbox did not answer in %s", patience)
		}
	}
}

func TestTheComposeFileOfTheReadmeWorksAsItIsPasted(t *testing.T) {
	t.Parallel()
	file := composeOf(t, fence(t, "yaml", "services:"))
	if len(file.Services) != 3 {
		t.Fatalf("the compose file has %d services, want NetBox, PostgreSQL and Redis", len(file.Services))
	}
	w := newWorld(t)
	s := newStack(w, file)
	published := file.Services["netbox"].Ports
	if len(published) != 1 || !strings.HasSuffix(published[0], ":8000") {
		t.Fatalf("the ports are %q, want one that leads to 8000", published)
	}
	env := s.container("netbox").Env
	const user = "admin"

	s.start()
	b := s.answers("8000")
	b.mustLogIn(user, env["SUPERUSER_PASSWORD"])
	healthy(t, s.up["netbox"])
	s.versionsFit()
	token := s.provision(user, env["SUPERUSER_PASSWORD"])
	kept := func(when string) {
		t.Helper()
		s.answers("8000").mustLogIn(user, env["SUPERUSER_PASSWORD"])
		if who := b.who(); who != user {
			t.Errorf("%s the session is over: NetBox takes the browser for %q", when, who)
		}
		s.call(http.MethodGet, "/api/dcim/sites/?slug=berlin", token, nil, `"count":1,`)
	}
	s.call(http.MethodPost, "/api/dcim/sites/", token, map[string]any{"name": "Berlin", "slug": "berlin"}, `"slug":"berlin"`)
	kept("at first")

	s.stop()
	s.restart()
	kept("after a restart")

	s.stop() // as docker compose down does
	s.start()
	kept("in new containers")
	for _, name := range []string{"netbox/config/keys/secret_key", "netbox/postgres/PG_VERSION", "netbox/redis/dump.rdb"} {
		if _, err := os.Stat(filepath.Join(s.root, "path/to", name)); err != nil {
			t.Errorf("what has to last is not in the volumes: %v", err)
		}
	}
	s.documentedCommands(user)
	s.stop()
}

// provision creates an API token.
func (s *stack) provision(user, password string) string {
	s.t.Helper()
	var got struct{ Key, Token string }
	text := s.call(http.MethodPost, "/api/users/tokens/provision/", "", map[string]any{"username": user, "password": password, "version": 2}, `"token":`)
	if err := json.Unmarshal(text, &got); err != nil {
		s.t.Fatal(err)
	}
	return "nbt_" + got.Key + "." + got.Token
}

// call sends a request to the API under the public host name and checks that the
// response contains want.
func (s *stack) call(method, path, token string, body any, want string) []byte {
	s.t.Helper()
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			s.t.Fatal(err)
		}
	}
	b := s.browse("http://localhost:8000", nil)
	if token != "" {
		b.header["Authorization"] = "Bearer " + token
	}
	b.header["Accept"] = "application/json"
	res := b.ask(method, path, "application/json", payload)
	if res.status >= 300 || !strings.Contains(string(res.body), want) {
		s.t.Fatalf("%s %s: %d without %s: %.300s", method, path, res.status, want, res.body)
	}
	return res.body
}

// TestTheDockerRunOfTheReadmeStarts parses the command with a shell and compares it
// with the compose file.
func TestTheDockerRunOfTheReadmeStarts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := newStack(w, composeOf(t, fence(t, "yaml", "services:")))
	command := exec.CommandContext(t.Context(), "bash", "-c", `docker() { printf '%s\0' "$@"; }; `+fence(t, "bash", "docker run -d"))
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	c := engine.Container{Image: machine.image, Env: map[string]string{}}
	var published []string
	for rest := words; len(rest) > 0; {
		option := rest[0]
		rest = rest[1:]
		take := func() (name, value string) {
			if len(rest) == 0 {
				t.Fatalf("%s has no value", option)
			}
			name, value, _ = strings.Cut(rest[0], map[bool]string{true: "=", false: ":"}[option == "-e"])
			rest = rest[1:]
			return name, value
		}
		switch {
		case option == "run" || option == "-d":
		case option == "--network=netbox": // the network in which the service names resolve
		case strings.HasPrefix(option, "--name="):
			c.Name = strings.TrimPrefix(option, "--name=")
		case option == "-e":
			name, value := take()
			c.Env[name] = value
		case option == "-p":
			_, port := take()
			published = append(published, port)
		case option == "-v":
			_, path := take()
			c.Mounts = append(c.Mounts, engine.Mount{Path: path, Host: w.config})
		case option == "--restart":
			if policy, _ := take(); policy != "unless-stopped" {
				t.Errorf("it restarts %q", policy)
			}
		case len(rest) == 0:
			if option != "lscr.io/linuxserver/netbox:latest" {
				t.Errorf("it runs %s", option)
			}
		default:
			t.Fatalf("the option %q is unknown here", option)
		}
	}
	if len(c.Env) < 20 || len(c.Mounts) != 1 || !slices.Equal(published, []string{"8000"}) {
		t.Fatalf("the command was not read: %q", words)
	}
	if file := s.container("netbox").Env; !maps.Equal(c.Env, file) {
		t.Errorf("the command sets\n%v, the compose file\n%v", c.Env, file)
	}
	for _, name := range []string{"postgres", "redis"} {
		s.up[name] = w.start(s.container(name))
	}
	started := w.start(c)
	s.up["netbox"] = started
	s.answers("8000").mustLogIn("admin", c.Env["SUPERUSER_PASSWORD"])
	known, errs, code, err := started.Exec(t.Context(), []string{"/lsiopy/bin/python3", "-c",
		"from netbox_container import environment\nprint(*sorted(['PUID', 'PGID', *(v.name for v in environment.VARIABLES)]))"}, nil)
	if err != nil || code != 0 {
		t.Fatalf("the image's list of variables: status %d, %v: %s", code, err, errs)
	}
	page, err := os.ReadFile(filepath.Join(repository, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| (?:`|<code>)-e ([A-Z_<>a-z]+)=").FindAllStringSubmatch(string(page), -1) {
		if name := strings.ReplaceAll(row[1], "<wbr>", ""); name != "NETBOX__SETTING" { // represents all of NetBox's
			documented = append(documented, name)
		}
	}
	slices.Sort(documented)
	if got := fmt.Sprintln(strings.Join(documented, " ")); got != known {
		t.Errorf("README.md documents\n%sthe image understands\n%s", got, known)
	}
	w.stop(started)
}
