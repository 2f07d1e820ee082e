// Package life tests the operation of the image with the local engine and a real PostgreSQL
// and Redis: it starts, stops, kills and restarts containers in different environments.
// Long campaigns run a sample by default, and all cases with -soak.
package life

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/base/basetest"
	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
	"github.com/linuxserver/docker-netbox/pipeline/provider"
	"github.com/linuxserver/docker-netbox/tests/need"
)

var soak = flag.Bool("soak", false, "run the long campaigns whole")

const (
	repository = "../.."
	host       = "netbox.test"
	password   = "correct horse 'battery' staple"
	// patience is the time limit for a start or an end, on a machine with other load.
	patience = 10 * time.Minute
)

// machine has what all tests share: the engine, the image and the services.
var machine struct {
	once   sync.Once
	ready  bool
	engine *local.Engine
	image  v1.Image
	sides  pipeline.Sidecars
	dist   string // directory with the image
}

func TestMain(m *testing.M) {
	flag.Parse()
	sideBySide := true
	flag.Visit(func(f *flag.Flag) { sideBySide = sideBySide && f.Name != "test.parallel" })
	if sideBySide {
		// Worlds are independent, and tests spend most of their time waiting: for an
		// outage, a limit, or the end of a container.
		flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0)))
	}
	code := m.Run()
	if machine.engine != nil {
		if err := machine.engine.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	if machine.dist != "" {
		os.RemoveAll(machine.dist)
	}
	os.Exit(code)
}

// world is a private network with its services, and a directory that is mounted at /config.
type world struct {
	t      *testing.T
	pod    *local.Pod
	sides  pipeline.Sidecars
	config string
}

// newWorld returns a network whose services are not started yet.
func newWorld(t *testing.T, settings ...local.Sysctl) *world {
	t.Helper()
	need.Root(t, "booting containers")
	machine.once.Do(func() { makeMachine(t) })
	if !machine.ready {
		t.Fatal("the image or the services could not be made: see the first test that failed")
	}
	pod, err := machine.engine.NewPod(t.Context(), settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pod.Close(); err != nil {
			t.Error(err)
		}
	})
	return &world{t: t, pod: pod, sides: machine.sides, config: t.TempDir()}
}

// makeMachine builds the image for this machine's architecture as the command line does,
// and prepares the services.
func makeMachine(t testing.TB) {
	t.Helper()
	var err error
	if machine.sides, err = (provider.Local{Builder: basetest.Builder(t, repository)}).Sidecars(t.Context(), t.Output()); err != nil {
		t.Fatal(err)
	}
	if machine.dist, err = os.MkdirTemp("", "docker-netbox-life-"); err != nil {
		t.Fatal(err)
	}
	basetest.NetBox(t, repository, machine.dist)
	_, machine.image = basetest.Image(t, machine.dist)
	machine.engine = basetest.Engine(t, repository)
	machine.ready = true
}

// debian returns an image of Debian packages of a suite, for further real services such as
// nginx, slapd or another PostgreSQL. The container's entrypoint runs as root.
func debian(t *testing.T, suite string, packages ...string) v1.Image {
	t.Helper()
	return basetest.Packages(t, repository, suite, packages...)
}

// start starts a container in the network.
func (w *world) start(c engine.Container) *local.Container {
	w.t.Helper()
	started, err := w.pod.Start(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if w.t.Failed() {
			lines := started.Lines()
			for _, l := range lines[max(0, len(lines)-60):] {
				w.t.Logf("%s %7.3f %s", c.Name, l.At.Seconds(), l.Text)
			}
		}
	})
	return started
}

// services starts PostgreSQL and Redis and waits until they are ready.
func (w *world) services() (postgres, redis *local.Container) {
	w.t.Helper()
	postgres, redis = w.start(w.sides.Postgres), w.start(w.sides.Redis)
	for _, c := range []*local.Container{postgres, redis} {
		ctx, cancel := context.WithTimeout(w.t.Context(), patience)
		defer cancel()
		if err := c.WaitReady(ctx); err != nil {
			w.t.Fatal(err)
		}
	}
	return postgres, redis
}

// spec returns a typical NetBox container. more changes its environment; an empty value
// removes a variable.
func (w *world) spec(name string, more map[string]string) engine.Container {
	env := map[string]string{
		"PUID": "1000", "PGID": "1000", "TZ": "Etc/UTC",
		"ALLOWED_HOST":    host,
		"SUPERUSER_EMAIL": "admin@netbox.test",
		"DB_USER":         "netbox",
		"S6_VERBOSITY":    "2",
	}
	secrets := map[string]string{
		"SUPERUSER_PASSWORD": password,
		"DB_PASSWORD":        w.sides.Postgres.Secrets["POSTGRES_PASSWORD"],
		"REDIS_PASSWORD":     w.sides.Redis.Secrets["REDIS_PASSWORD"],
	}
	for key, value := range more {
		delete(secrets, key)
		env[key] = value
	}
	return engine.Container{
		Name: name, Image: machine.image, Env: env, Secrets: secrets,
		Mounts:    []engine.Mount{{Path: "/config", Host: w.config}},
		StopGrace: 15 * time.Second,
	}
}

// netbox starts NetBox with additional environment variables.
func (w *world) netbox(more map[string]string) *local.Container {
	w.t.Helper()
	return w.start(w.spec("netbox", more))
}

// up waits until NetBox serves the path and returns the time since its start.
func (w *world) up(c *local.Container, path string) time.Duration {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	var last string
	for time.Now().Before(deadline) {
		select {
		case <-c.Done():
			w.t.Fatalf("netbox ended before it answered")
		case <-time.After(50 * time.Millisecond):
		}
		res, err := w.ask(http.MethodGet, path, "", nil)
		if err == nil && res.status == http.StatusOK {
			return time.Since(c.Started())
		}
		last = fmt.Sprint(res.status, err)
	}
	w.t.Fatalf("netbox did not answer in %s; the last word was %s", patience, last)
	return 0
}

type response struct {
	status int
	header http.Header
	body   []byte
}

// ask sends one request to port 8000 of the network.
func (w *world) ask(method, path, token string, body any) (response, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	var payload io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return response{}, err
		}
		payload = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://127.0.0.1:8000"+path, payload)
	if err != nil {
		return response{}, err
	}
	req.Host = host
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/html;q=0.9")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{DialContext: w.pod.DialContext, DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return response{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return response{res.StatusCode, res.Header, text}, err
}

// must sends a request, checks the response's status and returns its JSON object.
func (w *world) must(want int, method, path, token string, body any) map[string]any {
	w.t.Helper()
	res, err := w.ask(method, path, token, body)
	if err != nil || res.status != want {
		w.t.Fatalf("%s %s: %d, %v, want %d: %.300s", method, path, res.status, err, want, res.body)
	}
	if len(res.body) == 0 {
		return nil
	}
	var got map[string]any
	if err := json.Unmarshal(res.body, &got); err != nil {
		w.t.Fatalf("%s %s: %v: %.300s", method, path, err, res.body)
	}
	return got
}

// token creates an API token for the superuser.
func (w *world) token() string {
	w.t.Helper()
	got := w.must(http.StatusCreated, http.MethodPost, "/api/users/tokens/provision/", "",
		map[string]any{"username": "admin", "password": password, "version": 2})
	key, _ := got["key"].(string)
	secret, _ := got["token"].(string)
	if key == "" || secret == "" {
		w.t.Fatal("what was provisioned holds no key or no token")
	}
	return "nbt_" + key + "." + secret
}

// ended waits until the container ends and returns its exit status.
func (w *world) ended(c *local.Container) int {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	code, err := c.Wait(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	return code
}

// stop does what `docker stop` does.
func (w *world) stop(c *local.Container) {
	w.t.Helper()
	if code, err := c.Stop(w.t.Context()); err != nil || code != 0 {
		w.t.Errorf("stop: status %d, %v; want 0", code, err)
	}
}

// said returns all log lines of a container.
func said(c *local.Container) string {
	var lines []string
	for _, l := range c.Lines() {
		lines = append(lines, l.Text)
	}
	return strings.Join(lines, "\n")
}

// query returns one column from the database, queried as its superuser.
func (w *world) query(postgres *local.Container, sql string) string {
	w.t.Helper()
	out, errs, code, err := postgres.Exec(w.t.Context(),
		[]string{"sh", "-c", `PGPASSWORD="$POSTGRES_PASSWORD" exec psql -h 127.0.0.1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -Atc "$SQL"`},
		map[string]string{"SQL": sql})
	if err != nil || code != 0 {
		w.t.Fatalf("%s: status %d, %v: %s", sql, code, err, errs)
	}
	return strings.TrimSpace(out)
}
