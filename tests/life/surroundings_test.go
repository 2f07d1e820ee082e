package life

import (
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
)

// TestWhatCannotWorkEndsWithOneLineThatNamesTheVariable covers services that are
// unreachable or refuse access.
func TestWhatCannotWorkEndsWithOneLineThatNamesTheVariable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	postgres, _ := w.services()
	t.Run("all at once", func(t *testing.T) {
		for _, test := range []struct {
			name string
			env  map[string]string
			says string
		}{
			{"no database server", map[string]string{"DB_PORT": "5999", "STARTUP_TIMEOUT": "1"}, "DB_PORT"},
			// A refusal is not retried: STARTUP_TIMEOUT exceeds this test's time limit.
			{"wrong database password", map[string]string{"DB_PASSWORD": "wrong", "STARTUP_TIMEOUT": "3600"}, "DB_PASSWORD"},
			{"no such role", map[string]string{"DB_USER": "nobody", "STARTUP_TIMEOUT": "3600"}, "DB_USER"},
			{"no such database", map[string]string{"DB_NAME": "nowhere", "STARTUP_TIMEOUT": "3600"}, "DB_NAME"},
			{"no Redis", map[string]string{"REDIS_PORT": "6999", "STARTUP_TIMEOUT": "1"}, "REDIS_PORT"},
			{"wrong Redis password", map[string]string{"REDIS_PASSWORD": "wrong", "STARTUP_TIMEOUT": "3600"}, "REDIS_PASSWORD"},
		} {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				w.in(t).ends(test.env, test.says)
			})
		}
	})
	if tables := w.query(postgres, "select count(*) from information_schema.tables where table_schema = 'public'"); tables != "0" {
		t.Errorf("the database holds %s tables, want none", tables)
	}
}

func TestEveryMistakeInTheEnvironmentIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	postgres, _ := w.services()
	c := w.netbox(map[string]string{
		"DB_PORT":                         "fivethousand",
		"REMOTE_AUTH_ENABLED":             "perhaps",
		"REMOTE_AUTH_DEFAULT_PERMISSIONS": "{}}",
		"SECRET_KEY":                      "short",
	})
	if code := w.ended(c); code == 0 {
		t.Error("it ended with status 0")
	}
	for _, name := range []string{"DB_PORT", "REMOTE_AUTH_ENABLED", "REMOTE_AUTH_DEFAULT_PERMISSIONS", "SECRET_KEY"} {
		if !strings.Contains(said(c), "[netbox] configuration: "+name+" must be ") {
			t.Errorf("the log does not name %s", name)
		}
	}
	if tables := w.query(postgres, "select count(*) from information_schema.tables where table_schema = 'public'"); tables != "0" {
		t.Errorf("the database holds %s tables, want none", tables)
	}
}

// TestBasePathIsServed uses one spelling. TestWhateverATypedVariableHoldsItIsTakenOrNamed
// covers the others.
func TestBasePathIsServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.services()
	c := w.netbox(map[string]string{"BASE_PATH": "/netbox"})
	w.up(c, "/netbox/login/")
	page, err := w.ask(http.MethodGet, "/netbox/login/", "", nil)
	if err != nil || !strings.Contains(string(page.body), `"/netbox/static/`) {
		t.Errorf("the page names no static file under /netbox/static/: %v", err)
	}
	healthy(t, c)
	w.stop(c)
}

// healthy waits until the image's health check passes: workers start after the web server.
func healthy(t *testing.T, c *local.Container) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		out, errs, code, err := c.Exec(t.Context(), healthCheck(t), nil)
		if err == nil && code == 0 {
			return
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("health check: status %d, %v: %s%s", code, err, out, errs)
		}
		time.Sleep(time.Second)
	}
}

// healthCheck returns the command of the image's health check.
func healthCheck(t *testing.T) []string {
	t.Helper()
	config, err := machine.image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.Healthcheck == nil || len(config.Config.Healthcheck.Test) < 2 {
		t.Fatal("the image has no health check")
	}
	return config.Config.Healthcheck.Test[1:]
}

// TestItStartsInOddSurroundings combines several independent conditions in one start.
func TestItStartsInOddSurroundings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, local.Sysctl{Name: "net.ipv6.conf.all.disable_ipv6", Value: "1"})
	w.services()
	// Another PUID on a directory of a different user.
	if err := os.WriteFile(filepath.Join(w.config, "theirs"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(w.config, 77, 88); err != nil {
		t.Fatal(err)
	}
	spec := w.spec("netbox", map[string]string{"PUID": "4242", "PGID": "4343"})
	// All secrets from files.
	for name, value := range maps.Clone(spec.Secrets) {
		delete(spec.Secrets, name)
		spec.Env["FILE__"+name] = "/run/secrets/" + name
		spec.Files = append(spec.Files, engine.File{Path: "/run/secrets/" + name, Mode: 0o400, Content: []byte(value)})
	}
	c := w.start(spec)
	w.up(c, "/login/")
	w.must(http.StatusOK, http.MethodGet, "/api/status/", w.token(), nil)
	w.stop(c)
}
