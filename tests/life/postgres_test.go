package life

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
)

// postgresScript runs the PostgreSQL of an image of Debian packages like the pipeline's
// services.
const postgresScript = `set -eu
data=/var/lib/postgresql/data
as_postgres() { exec setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"; }
if [ ! -e "$data/made" ]; then
	install -d -o postgres -g postgres "$data" /run/made
	(umask 077; printf %s "$POSTGRES_PASSWORD" >/run/made/password; chown postgres /run/made/password)
	(as_postgres initdb -D "$data" --username="$POSTGRES_USER" --pwfile=/run/made/password \
		--auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-sync >/dev/null)
	echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
	echo "CREATE DATABASE $POSTGRES_DB" | (as_postgres postgres --single -D "$data" postgres >/dev/null)
	rm -r /run/made
	: >"$data/made"
fi
as_postgres postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories= -c fsync=off -c jit=off`

// redisScript runs the Redis of an image of Debian packages. VERSION replaces the version
// that it reports; it must have the same length.
const redisScript = `set -eu
cp /usr/bin/redis-server /run/redis-server
if [ -n "${VERSION:-}" ]; then
	own=$(redis-server --version | sed 's/.* v=\([0-9.]*\) .*/\1/')
	[ "${#own}" = "${#VERSION}" ]
	sed -i "s/$own/$VERSION/g" /run/redis-server
fi
printf 'requirepass %s\nsave ""\n' "$REDIS_PASSWORD" | setpriv --reuid=redis --regid=redis --clear-groups -- /run/redis-server -`

// postgresOf returns the PostgreSQL service with another image.
func (w *world) postgresOf(image v1.Image, major int) engine.Container {
	c := w.sides.Postgres
	c.Image = image
	c.Entrypoint = []string{"sh", "-c", postgresScript}
	c.Env = map[string]string{"POSTGRES_DB": "netbox", "POSTGRES_USER": "netbox",
		"PATH": fmt.Sprintf("/usr/lib/postgresql/%d/bin:/usr/sbin:/usr/bin:/sbin:/bin", major)}
	c.Ready = []string{"sh", "-c", `PGPASSWORD="$POSTGRES_PASSWORD" exec psql -h 127.0.0.1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c 'select 1'`}
	return c
}

// redisOf returns the Redis service with another image.
func (w *world) redisOf(image v1.Image, version string) engine.Container {
	c := w.sides.Redis
	c.Image = image
	c.Entrypoint = []string{"sh", "-c", redisScript}
	c.Env = map[string]string{"VERSION": version}
	c.Ready = []string{"sh", "-c", `[ "$(REDISCLI_AUTH="$REDIS_PASSWORD" redis-cli ping)" = PONG ]`}
	return c
}

// sql runs statements in a database as the service's superuser.
func (w *world) sql(postgres *local.Container, database string, statements ...string) string {
	w.t.Helper()
	return w.client(postgres, `exec psql -X -v ON_ERROR_STOP=1 -h 127.0.0.1 -U "$POSTGRES_USER" -d "$DATABASE" -At`,
		map[string]string{"DATABASE": database}, strings.Join(statements, ";\n"))
}

// client runs a PostgreSQL client in the server's container.
func (w *world) client(postgres *local.Container, command string, env map[string]string, input string) string {
	w.t.Helper()
	all := map[string]string{"INPUT": input}
	for key, value := range env {
		all[key] = value
	}
	out, errs, code, err := postgres.Exec(w.t.Context(),
		[]string{"bash", "-c", `export PGPASSWORD="$POSTGRES_PASSWORD"; ` + command + ` <<<"$INPUT"`}, all)
	if err != nil || code != 0 {
		w.t.Fatalf("%s %v: status %d, %v: %s", command, all, code, err, errs)
	}
	return strings.TrimSpace(out)
}

// role creates a database user with NetBox's password.
func (w *world) role(postgres *local.Container, name, options string) {
	w.t.Helper()
	w.sql(postgres, "netbox", fmt.Sprintf(`create role "%s" login password '%s' %s`, name, w.sides.Postgres.Secrets["POSTGRES_PASSWORD"], options))
}

var (
	moment = regexp.MustCompile(`\b20\d\d-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?\+\d\d\b`)
	chance = regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b`)
	// pg_dump writes a random value into every dump.
	restrict = regexp.MustCompile(`(?m)^\\(un)?restrict .*$`)
)

// dump returns a database's schema and rows. The rows of a table are sorted, since a table
// has no order. Creation times and the random IDs of search index entries are replaced:
// nothing refers to them.
func (w *world) dump(postgres *local.Container, database string, options ...string) string {
	w.t.Helper()
	text := w.client(postgres, `exec pg_dump -h 127.0.0.1 -U "$POSTGRES_USER" -d "$DATABASE" `+strings.Join(options, " "),
		map[string]string{"DATABASE": database}, "")
	text = restrict.ReplaceAllString(moment.ReplaceAllString(chance.ReplaceAllString(text, "CHANCE"), "MOMENT"), "")
	var lines, rows []string
	copying := false
	for line := range strings.Lines(text) {
		switch {
		case copying && line == "\\.\n":
			copying = false
			slices.Sort(rows)
			lines, rows = append(append(lines, rows...), line), nil
		case copying:
			rows = append(rows, line)
		default:
			copying = strings.HasPrefix(line, "COPY ")
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// diff returns the lines that only one of two dumps has, each with the table of its row.
func diff(a, b string) []string {
	count := map[string]int{}
	for sign, text := range map[int]string{1: a, -1: b} {
		table := ""
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			if strings.HasPrefix(line, "COPY ") {
				table, _, _ = strings.Cut(line, " (")
			}
			if line == `\.` {
				table = ""
			}
			count[table+"\t"+line] += sign
		}
	}
	var found []string
	for line, n := range count {
		if n != 0 {
			found = append(found, fmt.Sprintf("%s\t%+d", line, -n))
		}
	}
	slices.Sort(found)
	return found
}

// daily covers daily use: it logs in, writes, reads, and runs a background job.
func (w *world) daily(token string) {
	w.t.Helper()
	w.browse("http://"+host+":8000", nil).mustLogIn("admin", password)
	slug := fmt.Sprintf("site-%d", time.Now().UnixNano())
	w.must(http.StatusCreated, http.MethodPost, "/api/dcim/sites/", token, map[string]any{"name": slug, "slug": slug})
	if got := w.must(http.StatusOK, http.MethodGet, "/api/dcim/sites/?slug="+slug, token, nil); got["count"] != 1.0 {
		w.t.Fatalf("there are %v sites %s, want 1", got["count"], slug)
	}
	w.works(token)
}
