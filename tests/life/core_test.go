package life

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
)

// lines returns the log lines of NetBox's services that contain text.
func lines(c *local.Container, text string) []string {
	var found []string
	for line := range strings.Lines(said(c)) {
		if strings.HasPrefix(line, "[netbox] ") && strings.Contains(line, text) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// waits waits until the container has logged text.
func (w *world) waits(c *local.Container, text string) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); len(lines(c, text)) == 0; time.Sleep(50 * time.Millisecond) {
		select {
		case <-c.Done():
			w.t.Fatalf("netbox ended before it said %q", text)
		default:
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("netbox never said %q", text)
		}
	}
}

const recordedState = "select coalesce(obj_description('django_migrations'::regclass, 'pg_class'), '')"

// TestWhatADatabaseHoldsIsUnderstood takes one database through several states: an
// upgrade that was killed after its migrations, an upgrade by a newer release with new
// migrations, and one by a newer release without.
func TestWhatADatabaseHoldsIsUnderstood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	postgres, _ := w.services()
	c := w.netbox(nil)
	w.up(c, "/login/")
	token := w.token()
	w.must(http.StatusCreated, http.MethodPost, "/api/dcim/sites/", token, map[string]any{"name": "Berlin", "slug": "berlin"})
	w.stop(c)
	state := w.query(postgres, recordedState)
	if !regexp.MustCompile(`^NetBox \d+\.\d+\.\d+$`).MatchString(state) {
		t.Fatalf("the database is up to date with %q, want a release of NetBox", state)
	}
	if len(lines(c, "applying")) > 0 || len(lines(c, "bringing")) > 0 {
		t.Error("Django was started for what the snapshot had done")
	}

	const indexed = "select count(*) from extras_cachedvalue where value = 'Berlin'"
	before := w.query(postgres, indexed)
	if before == "0" {
		t.Fatal("the search index does not hold the site")
	}
	w.query(postgres, "delete from extras_cachedvalue; comment on table django_migrations is 'NetBox 4.0.0'")
	c = w.netbox(nil)
	w.up(c, "/login/")
	w.stop(c)
	if after := w.query(postgres, indexed); after != before {
		t.Errorf("the search index holds the site %s times after the start, want %s", after, before)
	}
	if again := w.query(postgres, recordedState); again != state {
		t.Errorf("the database is up to date with %q, want %q", again, state)
	}

	w.query(postgres, "comment on table django_migrations is 'NetBox 99.0.0'; insert into django_migrations (app, name, applied) values ('dcim', '9999_future', now())")
	c = w.netbox(nil)
	if code := w.ended(c); code == 0 {
		t.Error("it ended with status 0 over a database of a newer release")
	}
	if found := lines(c, "dcim.9999_future"); len(found) != 1 || !strings.Contains(found[0], "NetBox 99.0.0") || strings.Contains(said(c), "Traceback") {
		t.Errorf("want one line that names the migration and the release, got %q", found)
	}
	if now := w.query(postgres, recordedState); now != "NetBox 99.0.0" {
		t.Errorf("the refused database was changed: it is up to date with %q", now)
	}

	w.query(postgres, "delete from django_migrations where name = '9999_future'")
	c = w.netbox(nil)
	w.up(c, "/login/")
	w.stop(c)
}

func TestAUserWhoMayNotMakeTheSchemaIsToldSoInOneLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	postgres, _ := w.services()
	w.query(postgres, "create role poor login password 'poor'")
	w.query(postgres, "create database poorly")
	in := func(database, sql string) {
		t.Helper()
		_, errs, code, err := postgres.Exec(t.Context(), []string{"sh", "-c", `PGPASSWORD="$POSTGRES_PASSWORD" exec psql -h 127.0.0.1 -U "$POSTGRES_USER" -d "$IN" -c "$SQL"`},
			map[string]string{"IN": database, "SQL": sql})
		if err != nil || code != 0 {
			t.Fatalf("%s: status %d, %v: %s", sql, code, err, errs)
		}
	}
	env := map[string]string{"DB_USER": "poor", "DB_PASSWORD": "poor", "DB_NAME": "poorly", "S6_VERBOSITY": "1"}
	for _, test := range []struct{ grant, says string }{
		{"revoke create on schema public from poor", "GRANT CREATE ON SCHEMA public TO \"poor\""},
		{"grant create on schema public to poor", "CREATE EXTENSION ltree"},
	} {
		in("poorly", test.grant)
		c := w.netbox(env)
		if code := w.ended(c); code == 0 {
			t.Error("it ended with status 0")
		}
		if found := lines(c, ""); len(found) != 1 || !strings.Contains(found[0], test.says) {
			t.Errorf("want one line with %q, got %q", test.says, found)
		}
	}
}

func TestSettingsThatNetBoxRefusesEndTheContainerWithOneLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.services()
	for name, text := range map[string]string{
		"a key":    "SECRET_KEY = 'short'\n",
		"a plugin": "PLUGINS = ['no_such_plugin']\n",
	} {
		if err := os.WriteFile(filepath.Join(w.config, "configuration.py"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := w.netbox(nil)
		if code := w.ended(c); code == 0 {
			t.Errorf("%s: it ended with status 0", name)
		}
		want := "no_such_plugin"
		if name == "a key" {
			want = "SECRET_KEY"
		}
		if found := lines(c, want); len(found) != 1 || strings.Contains(said(c), "Traceback") {
			t.Errorf("%s: want one line about %s, got %q", name, want, found)
		}
		if took := c.Ended().Sub(c.Started()); took > time.Minute {
			t.Errorf("%s: it took %s to end", name, took)
		}
	}
}

func TestDockerStopEndsAStartAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ends := func(c *local.Container) {
		t.Helper()
		began := time.Now()
		code, err := c.Stop(t.Context())
		if took := time.Since(began); err != nil || took > 10*time.Second { // Docker's default timeout before SIGKILL
			t.Errorf("stop: %v after %s, want the end within 10 s", err, took)
		}
		if code != 1 || strings.Contains(said(c), "Traceback") { // as after any failed start
			t.Errorf("it ended with status %d, want 1 and no traceback", code)
		}
	}
	c := w.netbox(nil)
	w.waits(c, "waiting for PostgreSQL")
	ends(c)

	postgres, _ := w.services()
	w.query(postgres, "create table somebodys (id int)") // makes the migrations run one by one
	c = w.netbox(nil)
	w.waits(c, "applying")
	time.Sleep(3 * time.Second)
	ends(c)
	for deadline := time.Now().Add(patience); w.query(postgres, "select count(*) from pg_stat_activity where application_name <> 'psql' and datname = current_database()") != "0"; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("PostgreSQL still works for a container that has ended")
		}
	}
	if w.query(postgres, "select count(*) from django_migrations") == "0" {
		t.Error("nothing had been migrated when the container was stopped")
	}
	if w.query(postgres, recordedState) != "" {
		t.Error("a half migrated database passes for one that is up to date")
	}
}

func TestMetricsAreTheSumsOfAllWebServerProcesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.services()
	c := w.netbox(map[string]string{"METRICS_ENABLED": "true", "WEB_WORKERS": "3"})
	w.up(c, "/login/")
	token := w.token()
	counted := regexp.MustCompile(`(?m)^django_http_requests_total_by_view_transport_method_total\{[^}]*view="dcim-api:site-list"[^}]*\} (\S+)$`)
	const requests = 40
	for range requests {
		w.must(http.StatusOK, http.MethodGet, "/api/dcim/sites/", token, nil)
	}
	for range 6 { // several processes may answer
		page, err := w.ask(http.MethodGet, "/metrics", "", nil)
		if err != nil || page.status != http.StatusOK {
			t.Fatalf("/metrics: %d, %v", page.status, err)
		}
		if got := counted.FindSubmatch(page.body); got == nil || string(got[1]) != fmt.Sprintf("%d.0", requests) {
			t.Fatalf("%d requests count as %q", requests, got)
		}
	}
	out, _, _, err := c.Exec(t.Context(), []string{"sh", "-c", "ls /run/netbox/metrics/counter_*.db | wc -l"}, nil)
	if n := strings.TrimSpace(out); err != nil || n == "0" || n == "1" {
		t.Errorf("%s processes counted, %v; want several", n, err)
	}
	w.stop(c)
	second, err := c.Restart(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.up(second, "/login/")
	if page, err := w.ask(http.MethodGet, "/metrics", "", nil); err != nil || counted.Match(page.body) {
		t.Errorf("what an earlier life counted is still there: %v", err)
	}
	w.stop(second)
}

// TestUploadsBelongToTheUserOfPuidWithTheModeOfUmask also checks the files that contain
// secrets.
func TestUploadsBelongToTheUserOfPuidWithTheModeOfUmask(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.services()
	own := filepath.Join(w.config, "configuration.py")
	if err := os.WriteFile(own, []byte("BANNER_TOP = 'hello'\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := w.netbox(map[string]string{"PUID": "4242", "PGID": "4343", "UMASK": "027"})
	w.up(c, "/login/")
	token := w.token()
	site := w.must(http.StatusCreated, http.MethodPost, "/api/dcim/sites/", token, map[string]any{"name": "Berlin", "slug": "berlin"})
	const dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
	image, err := base64.StdEncoding.DecodeString(dot)
	if err != nil {
		t.Fatal(err)
	}
	w.upload("/api/extras/image-attachments/", token, map[string]string{"object_type": "dcim.site", "object_id": fmt.Sprint(site["id"]), "name": "dot"}, "image", "dot.png", image)
	found, err := filepath.Glob(filepath.Join(w.config, "media/image-attachments/*.png"))
	if err != nil || len(found) != 1 {
		t.Fatalf("uploaded files: %q, %v; want one", found, err)
	}
	for path, mode := range map[string]os.FileMode{found[0]: 0o640, filepath.Dir(found[0]): 0o750, own: 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		owner := info.Sys().(*syscall.Stat_t)
		if info.Mode().Perm() != mode || owner.Uid != 4242 || owner.Gid != 4343 {
			t.Errorf("%s: mode %s of %d:%d, want %s of 4242:4343", path, info.Mode(), owner.Uid, owner.Gid, mode)
		}
	}
	healthy(t, c)
	w.stop(c)
}

// upload posts a form with a file and returns the decoded response.
func (w *world) upload(path, token string, fields map[string]string, field, name string, content []byte) map[string]any {
	w.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for key, value := range fields {
		if err := form.WriteField(key, value); err != nil {
			w.t.Fatal(err)
		}
	}
	part, err := form.CreateFormFile(field, name)
	if err != nil {
		w.t.Fatal(err)
	}
	part.Write(content) // writes to memory
	form.Close()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://"+host+":8000"+path, &body)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Host = host
	req.Header.Set("Content-Type", form.FormDataContentType())
	req.Header.Set("Authorization", "Bearer "+token)
	client := http.Client{Transport: &http.Transport{DialContext: w.pod.DialContext, DisableKeepAlives: true}, Timeout: 30 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusCreated {
		w.t.Fatalf("upload: %s, %v: %.300s", res.Status, err, text)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		w.t.Fatal(err)
	}
	return got
}
