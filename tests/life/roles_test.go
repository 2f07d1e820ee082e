package life

import (
	"crypto/rand"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

// TestContainersThatAreGivenTheirKeysShareNothingElse runs the roles in containers with
// separate /config directories.
func TestContainersThatAreGivenTheirKeysShareNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.services()
	secret, pepper := rand.Text()+rand.Text()+rand.Text(), rand.Text()+rand.Text()+rand.Text()
	folder := func(name string, env map[string]string) engine.Container {
		env["WEB_WORKERS"] = "3" // their metrics are added up
		spec := w.spec(name, env)
		spec.Secrets["SECRET_KEY"], spec.Secrets["API_TOKEN_PEPPER"] = secret, pepper
		spec.Mounts[0].Host = t.TempDir()
		return spec
	}
	worker := w.start(folder("worker", map[string]string{"NETBOX_ROLE": "worker"}))
	spec := folder("web", map[string]string{"NETBOX_ROLE": "web", "METRICS_ENABLED": "on"})
	web := w.start(spec)
	w.up(web, "/login/")
	token := w.token()
	w.works(token)
	healthy(t, worker)
	b := w.browse("http://"+host+":8000", nil)
	b.mustLogIn("admin", password)

	before := logInPages(t, b)
	for range 5 {
		w.browse(b.base, nil).get("/login/")
	}
	if got := logInPages(t, b) - before; got != 5 {
		t.Errorf("5 visits of the log-in page are counted as %v", got)
	}
	w.stop(web)

	again := w.start(folder("again", map[string]string{"NETBOX_ROLE": "web"}))
	w.up(again, "/login/")
	w.must(http.StatusOK, http.MethodGet, "/api/status/", token, nil)
	if got := b.who(); got != "admin" {
		t.Errorf("a session of the other container makes the browser %q, want admin", got)
	}
	if res := b.get("/metrics"); res.status != http.StatusNotFound {
		t.Errorf("without METRICS_ENABLED /metrics answers %d, want 404", res.status)
	}
	if kept, _ := filepath.Glob(filepath.Join(spec.Mounts[0].Host, "keys", "*")); len(kept) > 0 {
		t.Errorf("keys were generated beside those that were given: %q", kept)
	}
	w.stop(again)
	w.stop(worker)
}

// logInPages returns the number of log-in pages in the metrics.
func logInPages(t *testing.T, b *browser) float64 {
	t.Helper()
	res := b.get("/metrics")
	count := regexp.MustCompile(`(?m)^django_http_requests_total_by_view_transport_method_total\{method="GET",transport="http",view="login"\} (\S+)$`).FindSubmatch(res.body)
	if res.status != http.StatusOK || count == nil {
		t.Fatalf("/metrics answers %d and counts no log-in pages: %.300s", res.status, res.body)
	}
	number, err := strconv.ParseFloat(string(count[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return number
}
