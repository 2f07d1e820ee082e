package life

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
)

// pgbouncer starts a pooler for PostgreSQL at port 6432. Its databases transaction and
// session both lead to netbox, in the pool mode of their name.
func (w *world) pgbouncer() {
	w.t.Helper()
	ini := `[databases]
transaction = host=127.0.0.1 port=5432 dbname=netbox pool_mode=transaction
session = host=127.0.0.1 port=5432 dbname=netbox pool_mode=session
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = 6432
unix_socket_dir =
auth_type = scram-sha-256
auth_file = /etc/pgbouncer/users
max_client_conn = 100
default_pool_size = 20
`
	w.ready(engine.Container{
		Name: "pgbouncer", Image: debian(w.t, "trixie", "pgbouncer"),
		Entrypoint: []string{"pgbouncer", "-u", "postgres", "/etc/pgbouncer/netbox.ini"},
		Ready:      listens(6432),
		Files: []engine.File{
			{Path: "/etc/pgbouncer/netbox.ini", Mode: 0o644, Content: []byte(ini)},
			{Path: "/etc/pgbouncer/users", Mode: 0o644, Content: fmt.Appendf(nil, "\"netbox\" \"%s\"\n", w.sides.Postgres.Secrets["POSTGRES_PASSWORD"])},
		},
	})
}

// leaves stops a container during its start, and checks that it did not have to be killed.
func (w *world) leaves(c *local.Container) {
	w.t.Helper()
	if code, err := c.Stop(w.t.Context()); err != nil || code == 137 {
		w.t.Errorf("stop: status %d, %v", code, err)
	}
}

// TestAPoolerMayStandBeforeTheDatabase uses one network for all cases with a shared
// database or Redis.
func TestAPoolerMayStandBeforeTheDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	postgres, _ := w.services()
	w.pgbouncer()
	through := func(mode string, more ...string) map[string]string {
		env := map[string]string{"DB_HOST": "127.0.0.1", "DB_PORT": "6432", "DB_NAME": mode}
		for i := 0; i < len(more); i += 2 {
			env[more[i]] = more[i+1]
		}
		return env
	}
	// startLock counts the sessions that hold the start lock. NetBox has other locks, which
	// it leaves behind in transaction mode.
	startLock := func() string {
		return w.sql(postgres, "netbox", "select count(*) from pg_locks where locktype = 'advisory' and (classid::bigint << 32) + objid::bigint = x'6E6574626F78'::bigint")
	}

	// Both start at once in transaction mode, where a session lock would stay with a
	// connection that both may get.
	first := w.start(w.spec("first", through("transaction", "NETBOX_ROLE", "worker")))
	second := w.start(w.spec("second", through("transaction")))
	w.waits(first, "the database is ready")
	w.waits(second, "the database is ready")
	if n := strings.Count(said(first)+said(second), "filling the empty database"); n != 1 {
		t.Errorf("the database was filled %d times, want once", n)
	}
	w.leaves(second) // frees the port for the next containers
	third := w.start(w.spec("third", through("session")))
	w.up(third, "/login/")
	token := w.token()
	w.daily(token)
	w.must(http.StatusOK, http.MethodGet, "/api/dcim/sites/?limit=0", token, nil)
	w.stop(third)

	// Another NetBox uses the same Redis for its tasks.
	other := w.spec("other", through("session", "SECRET_KEY", strings.Repeat("another", 10), "NETBOX_ROLE", "web"))
	other.Mounts[0].Host = t.TempDir()
	stranger := w.start(other)
	w.waits(stranger, "background workers of another NetBox use this Redis with REDIS_DB_TASK=0")
	w.waits(stranger, "the database is ready")
	w.leaves(stranger)
	w.stop(first)

	for _, mode := range []string{"session", "transaction"} {
		c := w.start(w.spec("again-"+mode, through(mode, "NETBOX_ROLE", "worker")))
		w.waits(c, "the database is ready")
		if found := append(lines(c, "another container"), lines(c, "another NetBox")...); len(found) > 0 {
			t.Errorf("%s: a container that is alone says %q", mode, found)
		}
		w.leaves(c)
		if held := startLock(); held != "0" {
			t.Errorf("%s: %s start locks are left with the pooler's connections", mode, held)
		}
	}

	t.Run("a filled database that can be read only", func(t *testing.T) {
		w := w.in(t)
		w.sql(postgres, "netbox", "alter database netbox set default_transaction_read_only = on")
		defer w.sql(postgres, "netbox", "set default_transaction_read_only = off", "alter database netbox reset default_transaction_read_only")
		c := w.start(w.spec("read-only", nil))
		if code := w.ended(c); code == 0 {
			t.Error("it ended with status 0")
		}
		if found := lines(c, "can be read only: name the server that takes changes"); len(found) != 1 {
			t.Errorf("it says %q", said(c))
		}
	})

	t.Run("a lock that is lost ends the start", func(t *testing.T) {
		w := w.in(t)
		w.sql(postgres, "netbox", "comment on table django_migrations is 'NetBox 4.0.0'") // makes an upgrade necessary
		c := w.start(w.spec("robbed", nil))
		w.waits(c, "bringing the database up to date")
		w.sql(postgres, "netbox", "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'")
		ended := w.ended(c)
		if found := lines(c, "preparing the database: "); ended == 0 || len(found) != 1 {
			t.Errorf("status %d, it says %q", ended, said(c))
		}
	})
}
