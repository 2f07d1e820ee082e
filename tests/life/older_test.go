package life

import (
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
)

const (
	oldPassword = "Gamla lykilorðið 1847"
	oldToken    = "0123456789abcdef0123456789abcdef01234567"
	oldKey      = "Gamlilykill1" // of the version-2 token, since NetBox 4.5
	oldPepper   = "an old pepper of fifty characters and then some more of them"
	oldPhoto    = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
	// migrating is the time limit for the upgrade of an old database.
	migrating = 40 * time.Minute
)

// oldConfiguration is a shortened configuration.py of this image before NetBox 4.7.
const oldConfiguration = `ALLOWED_HOSTS = ['%s']
DATABASE = {'NAME': 'old', 'USER': 'owner', 'PASSWORD': '%s', 'HOST': 'postgres', 'PORT': '', 'CONN_MAX_AGE': 300}
REDIS = {
    'tasks': {'HOST': 'redis', 'PORT': 6379, 'PASSWORD': '%[3]s', 'DATABASE': 0, 'DEFAULT_TIMEOUT': 300, 'SSL': False},
    'caching': {'HOST': 'redis', 'PORT': 6379, 'PASSWORD': '%[3]s', 'DATABASE': 1, 'DEFAULT_TIMEOUT': 300, 'SSL': False},
}
SECRET_KEY = 'an old secret key of fifty characters and then some more of them'
ADMINS = []
BASE_PATH = ''
CACHE_TIMEOUT = 900
CHANGELOG_RETENTION = 90
LOGGING = {}
LOGIN_REQUIRED = False
NAPALM_USERNAME = ''
PLUGINS = []
REMOTE_AUTH_ENABLED = False
REMOTE_AUTH_BACKEND = 'netbox.authentication.RemoteUserBackend'
REMOTE_AUTH_DEFAULT_GROUPS = []
REMOTE_AUTH_DEFAULT_PERMISSIONS = {}
SCRIPTS_ROOT = '/config/scripts'
SESSION_FILE_PATH = None
TIME_ZONE = 'UTC'
`

// TestAnUpgradeFromAnOlderReleaseKeepsEverything starts the image on databases of older
// releases in the state in which operators bring them: loaded by a user who owns only the
// database, in another collation, with a table of a removed plugin, an empty Redis, and the
// /config of the old image. Each upgrade runs once undisturbed and once with a kill in
// between. -run selects one by its name, such as Older/4.2.9,_killed_true.
func TestAnUpgradeFromAnOlderReleaseKeepsEverything(t *testing.T) {
	if !*soak {
		t.Skip("-soak: an upgrade takes minutes; the one from the previous release is always tested")
	}
	dumps, err := filepath.Glob(filepath.Join("testdata", "older", "*.sql.gz"))
	if err != nil || len(dumps) == 0 {
		t.Fatalf("%d dumps, %v", len(dumps), err)
	}
	for i, dump := range dumps {
		release := strings.TrimSuffix(filepath.Base(dump), ".sql.gz")
		for _, killed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, killed %v", release, killed), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				folder := t.TempDir()
				expand(t, dump, filepath.Join(folder, "dump.sql"))
				w.sides.Postgres.Mounts = append(w.sides.Postgres.Mounts[:len(w.sides.Postgres.Mounts):len(w.sides.Postgres.Mounts)], engine.Mount{Path: "/dump", Host: folder})
				postgres, _ := w.services()
				w.role(postgres, "owner", "")
				w.sql(postgres, "netbox", "create database old owner owner template template0 encoding 'UTF8' locale 'C'")
				w.client(postgres, `exec psql -X -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -U owner -d old -o /dev/null -f /dump/dump.sql`, nil, "")
				w.sql(postgres, "old", "set role owner",
					"create table netbox_gone_thing (id bigint primary key, site_id bigint references dcim_site (id) deferrable initially deferred)",
					"insert into netbox_gone_thing select 1, min(id) from dcim_site",
					"insert into django_content_type (app_label, model) values ('netbox_gone', 'thing')",
					"insert into django_migrations (app, name, applied) values ('netbox_gone', '0001_initial', now())")
				w.oldHome(release)

				if killed {
					w.killedUpgrading(i+1, len(dumps))
				}
				c := w.netbox(nil)
				w.logged(c, "[netbox] the database is ready", migrating)
				t.Logf("200 after %.1f s", w.up(c, "/login/").Seconds())
				w.holdsOld(postgres, "old", release)
				if got := w.sql(postgres, "old", "select count(*) from netbox_gone_thing join dcim_site on dcim_site.id = site_id"); got != "1" {
					t.Errorf("the table of the plugin that is gone holds %s rows, want 1", got)
				}
				w.stop(c)
			})
		}
	}
}

// killedUpgrading kills the image after part/all of the migrations; the last part is after
// the last migration. Each release uses a different part.
func (w *world) killedUpgrading(part, all int) {
	w.t.Helper()
	c := w.netbox(nil)
	w.logged(c, "[netbox] applying ", migrating)
	_, line, _ := strings.Cut(said(c), "[netbox] applying ")
	var total int
	if _, err := fmt.Sscanf(line, "%d migrations", &total); err != nil {
		w.t.Fatalf("how many migrations there are: %v", err)
	}
	w.logged(c, fmt.Sprintf("[netbox] migration %d of %d", max(1, total*part/all), total), migrating)
	time.Sleep(time.Duration(part) * 700 * time.Millisecond)
	if err := c.Kill(); err != nil {
		w.t.Fatal(err)
	}
	w.ended(c)
	lines := strings.Split(strings.TrimSpace(said(c)), "\n")
	w.t.Logf("killed after %.1f s, after %q", time.Since(c.Started()).Seconds(), lines[len(lines)-1])
}

// oldHome fills /config as this image did before NetBox 4.7, with a pepper if the release
// uses one.
func (w *world) oldHome(release string) {
	w.t.Helper()
	settings := fmt.Sprintf(oldConfiguration, host, w.sides.Postgres.Secrets["POSTGRES_PASSWORD"], w.sides.Redis.Secrets["REDIS_PASSWORD"])
	if versionTwo(release) {
		settings += fmt.Sprintf("API_TOKEN_PEPPERS = {1: '%s'}\n", oldPepper)
	}
	for name, content := range map[string][]byte{
		"configuration.py":                         []byte(settings),
		"ldap_config.py":                           nil,
		"media/image-attachments/site_1_photo.png": decodedPhoto(w.t),
	} {
		file := filepath.Join(w.config, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
}

func decodedPhoto(t *testing.T) []byte {
	t.Helper()
	photo, err := base64.StdEncoding.DecodeString(oldPhoto)
	if err != nil {
		t.Fatal(err)
	}
	return photo
}

// holdsOld checks that the objects that fill.py created in a release exist.
func (w *world) holdsOld(postgres *local.Container, database, release string) {
	w.t.Helper()
	for path, want := range map[string]float64{
		"/api/dcim/sites/?slug=reykjavik&region=nordurland&tag=core&cf_floor=3": 1,
		"/api/dcim/regions/":                                     2,
		"/api/dcim/locations/?site=reykjavik":                    1,
		"/api/dcim/devices/?site=reykjavik&cf_owner=net":         3,
		"/api/dcim/interfaces/?device=left":                      5,
		"/api/dcim/interfaces/?name=eth0&connected=true":         2, // through two cables and a panel
		"/api/dcim/mac-addresses/?mac_address=00:53:00:00:00:01": 1,
		"/api/dcim/cables/":                                      2,
		"/api/dcim/front-ports/?cabled=true":                     1,
		"/api/dcim/modules/?device=left":                         1,
		"/api/dcim/inventory-items/?device=left":                 1,
		"/api/dcim/virtual-chassis/?name=Stack":                  1,
		"/api/ipam/prefixes/?prefix=10.0.6.0/24&site=reykjavik":  1,
		"/api/ipam/ip-addresses/?device=left":                    1,
		"/api/ipam/asns/?asn=65001":                              1,
		"/api/virtualization/clusters/?site=reykjavik":           1,
		"/api/virtualization/interfaces/":                        1,
		"/api/circuits/circuits/?provider=provider":              1,
		"/api/tenancy/contact-assignments/":                      1,
		"/api/extras/journal-entries/":                           1,
		"/api/extras/image-attachments/?name=photo":              1,
		"/api/users/permissions/?name=See%20sites":               1,
		"/api/users/users/?username=erla":                        1,
	} {
		if got := w.oldAPI("Token "+oldToken, path)["count"]; got != want {
			w.t.Errorf("%s: there are %v, want %v", path, got, want)
		}
	}
	if got := w.sql(postgres, database, "select string_agg(version::text, ' ' order by version) from users_token"); versionTwo(release) {
		if who := w.oldAPI("Bearer nbt_"+oldKey+"."+oldToken, "/api/authentication-check/")["username"]; who != "admin" || got != "1 2" {
			w.t.Errorf("the version-2 token is that of %v, and the versions of all tokens are %s", who, got)
		}
	} else if got != "1" {
		w.t.Errorf("the versions of all tokens are %s, want 1", got)
	}
	devices, _ := w.oldAPI("Token "+oldToken, "/api/dcim/devices/?name=left")["results"].([]any)
	if len(devices) == 1 {
		if text := fmt.Sprint(devices[0]); !strings.Contains(text, "192.0.2.53") || !strings.Contains(text, "192.0.2.1") || !strings.Contains(text, "10.0.6.1/24") {
			w.t.Errorf("the device is without its configuration context or its address: %s", text)
		}
	}
	b := w.browse("http://"+host+":8000", nil)
	b.mustLogIn("admin", oldPassword)
	if page := b.get("/search/?q=fjallkona"); !strings.Contains(string(page.body), "Reykjavík") {
		w.t.Error("the search does not find the site by a word of its description")
	}
	if photo := b.get("/media/image-attachments/site_1_photo.png"); !strings.HasPrefix(string(photo.body), "\x89PNG") {
		w.t.Error("the image is not served")
	}
	w.browse("http://"+host+":8000", nil).mustLogIn("erla", "Fjallkona-1944!")
}

// versionTwo reports whether a release has version-2 tokens.
func versionTwo(release string) bool {
	var major, minor int
	fmt.Sscanf(release, "%d.%d", &major, &minor)
	return major > 4 || major == 4 && minor >= 5
}

// oldAPI sends a request with a token of the older release.
func (w *world) oldAPI(token, path string) map[string]any {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://127.0.0.1:8000"+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Host = host
	req.Header.Set("Authorization", token)
	client := http.Client{Transport: &http.Transport{DialContext: w.pod.DialContext, DisableKeepAlives: true}, Timeout: patience}
	res, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	var got map[string]any
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || res.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %s, %v: %v", path, res.Status, err, got)
	}
	return got
}

// expand decompresses a dump into a file.
func expand(t *testing.T, dump, file string) {
	t.Helper()
	packed, err := os.Open(dump)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	script, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, script); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
