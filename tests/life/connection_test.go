package life

import (
	"crypto/rand"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

// Accounts in the image of the services.
const (
	postgresID = 999
	redisID    = 998
)

// redis returns another Redis of the network, on its own port.
func (w *world) redis(name string, port int, settings string, files ...engine.File) engine.Container {
	conf := fmt.Sprintf("bind * -::*\ndir /var/lib/redis\nsave \"\"\n%s\n", settings)
	c := w.sides.Redis
	c.Name, c.Secrets = name, nil
	c.Entrypoint = []string{"setpriv", "--reuid=redis", "--regid=redis", "--clear-groups", "--", "redis-server", "/etc/redis/redis.conf"}
	c.Files = append(files, engine.File{Path: "/etc/redis/redis.conf", Mode: 0o600, UID: redisID, Content: []byte(conf)})
	c.Ready = listens(port)
	return c
}

// tls returns the files of a server certificate, owned by the account that the server
// runs as.
func (ca *authority) tls(dir string, uid int, names ...string) []engine.File {
	ca.t.Helper()
	cert, key := ca.issue(names...)
	return []engine.File{
		{Path: dir + "/server.crt", Mode: 0o644, Content: cert},
		{Path: dir + "/server.key", Mode: 0o600, UID: uid, Content: key},
	}
}

func TestServicesAreReachedInEveryWayThatIsDocumented(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ca, strangers := newAuthority(t), newAuthority(t)
	sockets := t.TempDir()
	if err := os.Chown(sockets, postgresID, postgresID); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(sockets, 0o755); err != nil {
		t.Fatal(err)
	}
	user := rand.Text()

	secured := w.sides.Postgres
	secured.Args = []string{
		"-c", "ssl=on", "-c", "ssl_cert_file=/tls/server.crt", "-c", "ssl_key_file=/tls/server.key",
		"-c", "unix_socket_directories=/sockets",
	}
	secured.Files = ca.tls("/tls", postgresID, "postgres")
	secured.Mounts = append(slices.Clone(secured.Mounts), engine.Mount{Path: "/sockets", Host: sockets})
	open := w.sides.Postgres
	open.Name, open.Args, open.Ready = "postgres-open", []string{"-c", "port=5434"}, listens(5434)
	started := w.ready(secured, open, w.sides.Redis,
		w.redis("redis-tls", 6380, "port 0\ntls-port 6380\ntls-auth-clients no\ntls-cert-file /tls/server.crt\ntls-key-file /tls/server.key\n"+
			"user default off\nuser netbox on >"+user+" ~* &* +@all -@admin", ca.tls("/tls", redisID, "redis-tls")...),
		w.redis("redis-cache", 6390, "port 6390\nrequirepass other"),
		w.redis("redis-open", 6391, "port 6391\nprotected-mode no"),
	)
	postgres, tls := started[0], started[3]
	w.write("redis-ca.crt", string(ca.pem))
	w.write("strangers.crt", string(strangers.pem))
	overTLS := map[string]string{
		"REDIS_HOST": "redis-tls", "REDIS_PORT": "6380", "REDIS_SSL": "True", "REDIS_SSL_CA": "/config/redis-ca.crt",
		"REDIS_USERNAME": "netbox", "REDIS_PASSWORD": user,
	}

	t.Run("what cannot be trusted or cannot work ends with one line", func(t *testing.T) {
		for name, test := range map[string]struct {
			env  map[string]string
			says string
		}{
			"a Redis of another authority":  {map[string]string{"REDIS_SSL_CA": "/config/strangers.crt"}, "REDIS_SSL_CA"},
			"a Redis of an unknown one":     {map[string]string{"REDIS_SSL_CA": ""}, "REDIS_SSL_CA"},
			"no file of authorities":        {map[string]string{"REDIS_SSL_CA": "/config/absent.crt"}, "REDIS_SSL_CA"},
			"a Redis of another name":       {map[string]string{"REDIS_HOST": "postgres"}, "REDIS_SSL_CA"},
			"a Redis that wants TLS":        {map[string]string{"REDIS_SSL": ""}, "REDIS_SSL"},
			"a Redis without TLS":           {map[string]string{"REDIS_PORT": "6379"}, "REDIS_SSL"},
			"no user for Redis":             {map[string]string{"REDIS_USERNAME": ""}, "REDIS_USERNAME and REDIS_PASSWORD"},
			"a Redis with fewer databases":  {map[string]string{"REDIS_DB_CACHE": "16"}, "REDIS_DB_CACHE"},
			"a PostgreSQL of a stranger's":  {map[string]string{"DB_SSLMODE": "verify-full", "PGSSLROOTCERT": "/config/strangers.crt"}, "DB_SSLMODE"},
			"a PostgreSQL of another name":  {map[string]string{"DB_SSLMODE": "verify-full", "PGSSLROOTCERT": "/config/redis-ca.crt", "DB_HOST": "127.0.0.1"}, "DB_SSLMODE"},
			"no authorities for PostgreSQL": {map[string]string{"DB_SSLMODE": "verify-ca"}, "/config/.postgresql/root.crt"},
			"a PostgreSQL without TLS":      {map[string]string{"DB_SSLMODE": "require", "DB_PORT": "5434"}, "DB_SSLMODE"},
			"no socket in the folder":       {map[string]string{"DB_HOST": "/config/scripts"}, "DB_HOST"},
			"a cache that asks for another password": {map[string]string{
				"REDIS_HOST": "", "REDIS_PORT": "", "REDIS_SSL": "", "REDIS_SSL_CA": "", "REDIS_USERNAME": "",
				"REDIS_PASSWORD": w.sides.Redis.Secrets["REDIS_PASSWORD"], "REDIS_CACHE_HOST": "redis-cache", "REDIS_CACHE_PORT": "6390",
			}, "REDIS_CACHE_PASSWORD"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				env := maps.Clone(overTLS)
				maps.Copy(env, map[string]string{"STARTUP_TIMEOUT": "1"})
				maps.Copy(env, test.env)
				w.in(t).ends(env, test.says)
			})
		}
	})

	w.write(".postgresql/root.crt", string(ca.pem))
	for i, test := range []struct {
		name   string
		env    map[string]string
		client string // NetBox's connection according to PostgreSQL: whether it uses TLS, and the client address
	}{
		{name: "TLS that is verified, and users", client: `^t `, env: map[string]string{
			"DB_SSLMODE": "verify-full", "REDIS_DB_TASK": "14", "REDIS_DB_CACHE": "3",
		}},
		{name: "a socket, and TLS that is not verified", client: `^f$`, env: map[string]string{
			"DB_HOST": "/sockets", "REDIS_SSL_VERIFY": "no", "REDIS_SSL_CA": "", "REDIS_DB_TASK": "5", "REDIS_DB_CACHE": "5",
		}},
		{name: "IPv6 addresses, and a Redis without a password for the cache", client: `^t ::1$`, env: map[string]string{
			"DB_HOST": "::1", "DB_SSLMODE": "require",
			"REDIS_HOST": "::1", "REDIS_PORT": "", "REDIS_SSL": "", "REDIS_SSL_CA": "", "REDIS_USERNAME": "",
			"REDIS_PASSWORD":   w.sides.Redis.Secrets["REDIS_PASSWORD"],
			"REDIS_CACHE_HOST": "::1", "REDIS_CACHE_PORT": "6391", // this one has no password
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := w.in(t)
			database := fmt.Sprint("netbox", i)
			w.query(postgres, "create database "+database)
			env := maps.Clone(overTLS)
			maps.Copy(env, map[string]string{"DB_NAME": database})
			maps.Copy(env, test.env)
			spec := w.spec("netbox", env)
			spec.Mounts = append(spec.Mounts, engine.Mount{Path: "/sockets", Host: sockets})
			c := w.start(spec)
			w.up(c, "/login/")
			w.browse("http://"+host+":8000", nil).mustLogIn("admin", password)
			w.works(w.token())
			healthy(t, c)
			got := w.query(postgres, "select distinct ssl::text::char || ' ' || coalesce(host(client_addr), '') "+
				"from pg_stat_activity join pg_stat_ssl using (pid) where datname = '"+database+"'")
			if !regexp.MustCompile(test.client).MatchString(got) {
				t.Errorf("the database is reached as %q, want %s (whether by TLS, and from where)", got, test.client)
			}
			w.stop(c)
		})
	}
	for _, test := range []struct {
		database string
		used     bool
	}{{"14", true}, {"3", true}, {"5", true}, {"0", false}, {"1", false}} {
		out, errs, code, err := tls.Exec(t.Context(), []string{"redis-cli", "--tls", "--insecure", "-p", "6380", "--user", "netbox", "-n", test.database, "dbsize"},
			map[string]string{"REDISCLI_AUTH": user})
		if err != nil || code != 0 {
			t.Fatalf("asking Redis: status %d, %v: %s", code, err, errs)
		}
		if used := strings.TrimSpace(out) != "0"; used != test.used {
			t.Errorf("database %s of Redis holds %s keys; it is used: %t, want %t", test.database, strings.TrimSpace(out), used, test.used)
		}
	}
}

func TestARedisThatDiesIsReplacedByItsSentinels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret := rand.Text()
	replicated := "requirepass " + secret + "\nmasterauth " + secret + "\nreplica-announce-ip 127.0.0.1\nrepl-diskless-sync-delay 0\n"
	sentinel := func(port int) string {
		return fmt.Sprintf("bind * -::*\nprotected-mode no\nport %d\nsentinel announce-ip 127.0.0.1\nsentinel monitor netbox 127.0.0.1 7001 2\n"+
			"sentinel auth-pass netbox %s\nsentinel down-after-milliseconds netbox 1000\nsentinel failover-timeout netbox 5000\n", port, secret)
	}
	sentinels := w.sides.Redis
	sentinels.Name, sentinels.Secrets = "sentinels", nil
	sentinels.Entrypoint = []string{"sh", "-c", "for n in 1 2 3; do redis-server /etc/redis/sentinel-$n.conf --sentinel & done; wait"}
	sentinels.Ready = listens(27001, 27002, 27003)
	for n := 1; n <= 3; n++ {
		sentinels.Files = append(sentinels.Files, engine.File{
			Path: fmt.Sprintf("/etc/redis/sentinel-%d.conf", n), Mode: 0o600, Content: []byte(sentinel(27000 + n)),
		})
	}
	started := w.ready(w.sides.Postgres,
		w.redis("one", 7001, replicated+"port 7001"),
		w.redis("two", 7002, replicated+"port 7002\nreplicaof 127.0.0.1 7001"),
		sentinels)
	env := map[string]string{
		"REDIS_HOST":             "nowhere",                                                  // ignored when Sentinels are set
		"REDIS_SENTINELS":        "[::1]:27009 127.0.0.1:27001, 127.0.0.1:27002 [::1]:27003", // the first is down
		"REDIS_SENTINEL_SERVICE": "netbox", "REDIS_PASSWORD": secret, "REDIS_DB_TASK": "2", "REDIS_DB_CACHE": "3",
	}
	for name, test := range map[string]struct {
		env  map[string]string
		says string
	}{
		"an unknown service": {map[string]string{"REDIS_SENTINEL_SERVICE": "", "STARTUP_TIMEOUT": "1"}, "REDIS_SENTINEL_SERVICE"},
		"a wrong password":   {map[string]string{"REDIS_PASSWORD": "wrong", "STARTUP_TIMEOUT": "1"}, "REDIS_PASSWORD"},
		"no Sentinel":        {map[string]string{"REDIS_SENTINELS": "127.0.0.1:27009", "STARTUP_TIMEOUT": "1"}, "REDIS_SENTINELS"},
		"TLS":                {map[string]string{"REDIS_SSL": "True"}, "REDIS_SSL must be false with REDIS_SENTINELS"},
	} {
		t.Run(name, func(t *testing.T) {
			with := maps.Clone(env)
			maps.Copy(with, test.env)
			w.in(t).ends(with, test.says)
		})
	}

	c := w.netbox(env)
	w.up(c, "/login/")
	w.browse("http://"+host+":8000", nil).mustLogIn("admin", password)
	token := w.token()
	w.works(token)
	// The Sentinels that replace it must have found each other and the replica by then.
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		out, _, code, err := started[3].Exec(t.Context(), []string{"redis-cli", "-p", "27001", "sentinel", "ckquorum", "netbox"}, nil)
		more, _, _, _ := started[3].Exec(t.Context(), []string{"redis-cli", "-p", "27001", "sentinel", "replicas", "netbox"}, nil)
		if err == nil && code == 0 && strings.HasPrefix(out, "OK 3") && strings.Contains(more, "master-link-status\nok") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the Sentinels do not find each other: %s%s", out, more)
		}
	}

	if err := started[1].Kill(); err != nil {
		t.Fatal(err)
	}
	gone := time.Now()
	w.works(token)
	t.Logf("a job was done again %.1f s after the primary was killed", time.Since(gone).Seconds())
	w.browse("http://"+host+":8000", nil).mustLogIn("admin", password)
	healthy(t, c)
	out, errs, code, err := started[2].Exec(t.Context(), []string{"redis-cli", "-p", "7002", "info", "replication"}, map[string]string{"REDISCLI_AUTH": secret})
	if err != nil || code != 0 || !strings.Contains(out, "role:master") {
		t.Errorf("the replica has not taken over: %v: %s%s", err, out, errs)
	}
	w.stop(c)
}
