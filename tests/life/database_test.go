package life

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
)

// foreign creates objects of another application in the database, but no table.
// foreignAnswer queries them.
const foreign = `create schema theirs; create view theirs.view as select 42 as answer;
	create sequence theirs.sequence start 7; create type theirs.mood as enum ('good');
	create materialized view theirs.kept as select 43 as answer`

const foreignAnswer = `select (select answer from theirs.view), (select last_value from theirs.sequence), 'good'::theirs.mood, (select answer from theirs.kept)`

// TestItWorksOnEveryPostgreSQLThatDebianHas covers the first start, daily use and a
// restart. Debian has no PostgreSQL 16.
func TestItWorksOnEveryPostgreSQLThatDebianHas(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		major int
		suite string // empty for the suite that the other tests use
		redis string // suite of the Redis; empty for the suite that the other tests use
	}{
		{15, "bookworm", "bullseye"}, // the oldest of both: Redis 6.0
		{17, "", ""},
		{18, "forky", ""},
	} {
		if test.suite == "" && !*soak {
			continue // covered by all other tests
		}
		t.Run(fmt.Sprint(test.major), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if test.suite != "" {
				w.sides.Postgres = w.postgresOf(debian(t, test.suite, fmt.Sprintf("postgresql-%d", test.major)), test.major)
			}
			if test.redis != "" {
				w.sides.Redis = w.redisOf(oldServices(t), "")
			}
			postgres, redis := w.services()
			if got := w.sql(postgres, "netbox", "show server_version_num"); !strings.HasPrefix(got, fmt.Sprint(test.major)) {
				t.Fatalf("this is PostgreSQL %s", got)
			}
			// The user owns the database and has no other rights.
			w.role(postgres, "owner", "")
			w.sql(postgres, "netbox", "create database owned owner owner")
			env := map[string]string{"DB_USER": "owner", "DB_NAME": "owned"}
			first := w.netbox(env)
			took := w.up(first, "/login/")
			version, _, _, err := redis.Exec(t.Context(), []string{"redis-server", "--version"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("first start on PostgreSQL %s, %s: 200 after %.1f s", w.sql(postgres, "netbox", "show server_version"), strings.TrimSpace(version), took.Seconds())
			if !strings.Contains(said(first), "filling the empty database") {
				t.Error("the snapshot was not used")
			}
			token := w.token()
			w.daily(token)
			w.stop(first)
			second := w.netbox(env)
			t.Logf("restart: 200 after %.1f s", w.up(second, "/login/").Seconds())
			w.daily(token)
			if got := w.must(http.StatusOK, http.MethodGet, "/api/dcim/sites/", token, nil); got["count"] != 2.0 {
				t.Errorf("after the restart there are %v sites, want 2", got["count"])
			}
			w.stop(second)
		})
	}
	t.Log("not tried, because Debian has no package: PostgreSQL 16")
}

// TestServicesThatAreTooOldAreNamedAtOnce checks that a start fails without waiting for
// a service that is too old.
func TestServicesThatAreTooOldAreNamedAtOnce(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		setUp func(w *world)
		says  string
	}{
		{"PostgreSQL 13", func(w *world) { w.sides.Postgres = w.postgresOf(oldServices(w.t), 13) }, "has version 13; NetBox needs 15 or later: see DB_HOST"},
		// Debian has no older Redis: this is 6.0, changed to report 5.
		{"Redis 5", func(w *world) { w.sides.Redis = w.redisOf(oldServices(w.t), "5.0.16") }, "has version 5.0.16; NetBox needs 6 or later: see REDIS_HOST"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			test.setUp(w)
			w.services()
			c := w.ends(nil, test.says)
			if took := c.Ended().Sub(c.Started()); took > 60*time.Second {
				t.Errorf("it took %.0f s to say so", took.Seconds())
			}
		})
	}
}

// TestARefusingDatabaseIsNamedInOneLine covers databases that exist but cannot be used.
// The start must not change them.
func TestARefusingDatabaseIsNamedInOneLine(t *testing.T) {
	t.Parallel()
	outer := newWorld(t)
	postgres, _ := outer.services()
	outer.role(postgres, "guest", "")
	outer.role(postgres, "crowd", "connection limit 0")
	outer.sql(postgres, "netbox",
		"create database crowded connection limit 0 owner guest",
		"create database replica owner guest",
		"alter database replica set default_transaction_read_only = on",
		"create database latin1 template template0 encoding 'LATIN1' locale 'C' owner guest",
		"create database bytes template template0 encoding 'SQL_ASCII' locale 'C' owner guest")
	for _, test := range []struct {
		name string
		env  map[string]string
		says string
	}{
		{"a user at the limit of their connections", map[string]string{"DB_USER": "crowd", "STARTUP_TIMEOUT": "2"}, `too many connections for role "crowd": see DB_USER`},
		{"a database at its limit of connections", map[string]string{"DB_USER": "guest", "DB_NAME": "crowded", "STARTUP_TIMEOUT": "2"}, `too many connections for database "crowded": see DB_NAME`},
		{"a database that cannot be written", map[string]string{"DB_USER": "guest", "DB_NAME": "replica"}, "can be read only: name the server that takes changes"},
		{"a database encoded as LATIN1", map[string]string{"DB_USER": "guest", "DB_NAME": "latin1"}, "DB_NAME=latin1 is encoded as LATIN1"},
		{"a database without an encoding", map[string]string{"DB_USER": "guest", "DB_NAME": "bytes"}, "DB_NAME=bytes is encoded as SQL_ASCII"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := outer.in(t)
			w.ends(test.env, test.says)
			if database := test.env["DB_NAME"]; database != "crowded" { // crowded accepts no connections
				if got := w.sql(postgres, cmp.Or(database, "netbox"), "select count(*) from pg_class where relnamespace not in (select oid from pg_namespace where nspname ~ '^pg_|information_schema')"); got != "0" {
					t.Errorf("%s holds %s relations", database, got)
				}
			}
		})
	}
}

// TestAFillingThatFailsEndsTheStart makes the initial load fail, by a database error
// and by a kill. The last log line must name the reason and the database must stay
// empty.
func TestAFillingThatFailsEndsTheStart(t *testing.T) {
	t.Parallel()
	outer := newWorld(t)
	postgres, _ := outer.services()
	outer.role(postgres, "failing", "")
	outer.sql(postgres, "netbox", "create database failing owner failing")
	outer.sql(postgres, "failing", "create function refuse() returns event_trigger language plpgsql as $$ begin raise 'no more room'; end $$")
	for _, test := range []struct {
		name  string
		fault string
		says  string
	}{
		{"broken off", "create event trigger refuse on ddl_command_start when tag in ('CREATE INDEX') execute function refuse()", "filling the database: no more room: it is as it was"},
		{"killed", "drop event trigger refuse", "filling the database was killed by SIGKILL: it is as it was"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := outer.in(t)
			w.sql(postgres, "failing", test.fault)
			c := w.netbox(map[string]string{"DB_USER": "failing", "DB_NAME": "failing"})
			w.waits(c, "filling the empty database")
			if test.name == "killed" {
				const kill = `for d in /proc/[0-9]*; do read -r name <$d/comm; [ "$name" != netbox-fill ] || kill -9 ${d#/proc/}; done`
				if _, errs, code, err := c.Exec(t.Context(), []string{"sh", "-c", kill}, nil); err != nil || code != 0 {
					t.Fatalf("kill: status %d, %v: %s", code, err, errs)
				}
			}
			if code := w.ended(c); code == 0 {
				t.Error("it ended with status 0")
			}
			if last := lastWords(c); !strings.Contains(last, test.says) {
				t.Errorf("the log ends with %q, want %q", last, test.says)
			}
			if n := len(lines(c, "filling the empty database")); n != 1 || strings.Contains(said(c), "Traceback") {
				t.Errorf("it was tried %d times, want once and no traceback:\n%s", n, said(c))
			}
			if got := w.sql(postgres, "failing", "select count(*) from pg_tables where schemaname = 'public'"); got != "0" {
				t.Errorf("the database holds %s tables", got)
			}
		})
	}
}

// TestAnUpgradeThatCannotWorkIsRefusedBeforeAnythingIsTouched covers databases with
// content: one that is too old, one that another role owns, and a port that is in use.
// When a migration fails, the error names it.
func TestAnUpgradeThatCannotWorkIsRefusedBeforeAnythingIsTouched(t *testing.T) {
	t.Parallel()
	outer := newWorld(t)
	postgres, _ := outer.services()
	first := outer.netbox(nil)
	outer.up(first, "/login/")
	const (
		forget = "delete from django_migrations where app = 'extras' and name = (select max(name) from django_migrations where app = 'extras')"
		state  = "select count(*), max(id), obj_description('django_migrations'::regclass) from django_migrations"
	)
	t.Run("a port that is taken", func(t *testing.T) {
		outer.in(t).ends(map[string]string{"DB_NAME": "postgres"}, "port 8000 is taken by another program")
	})
	outer.stop(first)
	outer.role(postgres, "owner", "")
	outer.role(postgres, "guest", "")
	outer.sql(postgres, "postgres", "create database old template netbox", "create database owned template netbox")
	outer.sql(postgres, "old", "delete from django_migrations where app = 'dcim' and (name like '%squashed%' or name between '0131' and '0160' and name <> '0131_consoleport_speed')")
	outer.sql(postgres, "owned", forget,
		"do $$ declare t text; begin for t in select tablename from pg_tables where schemaname = 'public' loop execute format('alter table %I owner to owner', t); end loop; end $$",
		"grant all on all tables in schema public to guest", "grant create on schema public to guest")
	for _, test := range []struct {
		name string
		env  map[string]string
		says string
	}{
		{"an old database", map[string]string{"DB_NAME": "old"}, "nothing was changed: upgrade it to NetBox 3.7 first"},
		{"tables of another role", map[string]string{"DB_NAME": "owned", "DB_USER": "guest"}, `REASSIGN OWNED BY "owner" TO "guest"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := outer.in(t)
			before := w.sql(postgres, test.env["DB_NAME"], state)
			w.ends(test.env, test.says)
			if now := w.sql(postgres, test.env["DB_NAME"], state); now != before {
				t.Errorf("the migrations were %s, and are %s", before, now)
			}
		})
	}
	t.Run("a migration that fails", func(t *testing.T) {
		w := outer.in(t)
		migration := w.sql(postgres, "netbox", "select 'extras.' || max(name) from django_migrations where app = 'extras'")
		w.sql(postgres, "netbox", forget)
		c := w.netbox(nil)
		if code := w.ended(c); code == 0 {
			t.Error("it ended with status 0")
		}
		if last := lastWords(c); !strings.Contains(last, "migration "+migration+" failed: ") || !strings.Contains(last, "restore what was saved before the upgrade") {
			t.Errorf("the log ends with %q", last)
		}
	})
}

// TestALimitedUserIsEnoughWhereTheExtensionIsThere uses a database that an
// administrator prepared for a user with few rights.
func TestALimitedUserIsEnoughWhereTheExtensionIsThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	postgres, _ := w.services()
	w.role(postgres, "maker", "")
	w.sql(postgres, "netbox", foreign, "grant create on schema public to maker", "create extension ltree")
	c := w.netbox(map[string]string{"DB_USER": "maker"})
	w.up(c, "/login/")
	w.daily(w.token())
	w.stop(c)
	// The other application's objects are unchanged.
	if got := w.sql(postgres, "netbox", foreignAnswer); got != "42|7|good|43" {
		t.Errorf("what stood in the database before now says %q", got)
	}
}

func TestStartupTimeoutIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.ends(map[string]string{"STARTUP_TIMEOUT": "6", "DB_HOST": "127.0.0.1"}, "see DB_HOST and DB_PORT (waited up to STARTUP_TIMEOUT=6 s)")
	if waited := when(t, c, "(waited up to") - when(t, c, "[netbox] waiting for PostgreSQL"); waited < 5*time.Second || waited > time.Minute {
		t.Errorf("it waited %.1f s, not 6", waited.Seconds())
	}
}

// oldServices returns an image with the oldest PostgreSQL and the oldest Redis that
// Debian still packages.
func oldServices(t *testing.T) v1.Image {
	t.Helper()
	return debian(t, "bullseye", "postgresql-13", "redis-server")
}

// logged waits until the log contains text.
func (w *world) logged(c *local.Container, text string, limit time.Duration) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), limit)
	defer cancel()
	seen := make(chan struct{})
	found := false
	c.OnLine(func(line engine.Line) {
		if !found && strings.Contains(line.Text, text) {
			found = true
			close(seen)
		}
	})
	select {
	case <-seen:
	case <-c.Done():
		w.t.Fatalf("%s ended before it said %q", c.Name(), text)
	case <-ctx.Done():
		w.t.Fatalf("%s does not say %q within %s", c.Name(), text, limit)
	}
}

// when returns the time at which a container first logged a line that contains text.
func when(t *testing.T, c *local.Container, text string) time.Duration {
	t.Helper()
	for _, line := range c.Lines() {
		if strings.Contains(line.Text, text) {
			return line.At
		}
	}
	t.Fatalf("%s never says %q", c.Name(), text)
	return 0
}
