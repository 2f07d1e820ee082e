package life

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

const oldSecretKey = "r(m)9nLGnz$(_q3N4z1k(EFsMCjjjzx08x9VhNVcfd%6RF#r!6DE@+V5Zk2X"

// installation describes a NetBox installation before the migration to this image.
type installation struct {
	release string
	blocks  []int             // indexes of its command blocks in docs/migration.md
	home    string            // directory with media and scripts
	env     map[string]string // netbox-docker's env/netbox.env
	files   map[string]string // files in /config, converted as the page describes
	banner  string            // the text that its custom setting shows
}

// TestTheStepsFromAnotherInstallationWorkAsTheyAreWritten runs the commands of
// docs/migration.md on real data.
func TestTheStepsFromAnotherInstallationWorkAsTheyAreWritten(t *testing.T) {
	if !*soak {
		t.Skip("-soak: an upgrade takes minutes")
	}
	for name, from := range map[string]installation{
		"netbox-docker": {
			release: "4.6.8", blocks: []int{0, 2, 3, 4}, home: "/opt/netbox/netbox",
			env: map[string]string{ // the repository's defaults and typical additions
				"ALLOWED_HOSTS": host + " localhost", "API_TOKEN_PEPPER_1": oldPepper, "BANNER_LOGIN": "Gamli borðinn",
				"CORS_ORIGIN_ALLOW_ALL": "True", "DB_CONN_MAX_AGE": "300", "DB_HOST": "postgres", "DB_NAME": "netbox", "DB_USER": "netbox",
				"EMAIL_FROM": "netbox@bar.com", "EMAIL_PASSWORD": "", "EMAIL_PORT": "25", "EMAIL_SERVER": "localhost", "EMAIL_TIMEOUT": "5",
				"EMAIL_USERNAME": "netbox", "EMAIL_USE_SSL": "false", "EMAIL_USE_TLS": "false", "EMAIL_SSL_CERTFILE": "",
				"GRAPHQL_ENABLED": "true", "HOUSEKEEPING_INTERVAL": "86400", "MEDIA_ROOT": "/opt/netbox/netbox/media", "METRICS_ENABLED": "false",
				"REDIS_CACHE_DATABASE": "1", "REDIS_CACHE_HOST": "redis-cache", "REDIS_CACHE_INSECURE_SKIP_TLS_VERIFY": "false",
				"REDIS_CACHE_PASSWORD": "t4Ph722qJ5QHeQ1qfu36", "REDIS_CACHE_SSL": "false", "REDIS_DATABASE": "0", "REDIS_HOST": "redis",
				"REDIS_INSECURE_SKIP_TLS_VERIFY": "false", "REDIS_SSL": "false", "LOGIN_REQUIRED": "True", "TIME_ZONE": "Atlantic/Reykjavik",
				"RELEASE_CHECK_URL": "https://api.github.com/repos/netbox-community/netbox/releases",
				"SKIP_SUPERUSER":    "true", "WEBHOOKS_ENABLED": "true", "REMOTE_AUTH_DEFAULT_GROUPS": "", "SUPERUSER_API_TOKEN": oldToken,
			},
			files: map[string]string{
				"configuration.d/extra.py":   "BANNER_TOP = 'Viðbót'\nPLUGINS_CONFIG['x'] = {}\n",
				"configuration.d/plugins.py": "PLUGINS = []\n",
			},
			banner: "Gamli borðinn",
		},
		"a plain installation": {
			release: "4.4.10", blocks: []int{1, 2, 3, 4}, home: "/opt/netbox/netbox",
			files:  map[string]string{"configuration.py": "BANNER_LOGIN = 'Gamli borðinn'\nLOGIN_TIMEOUT = 28800\n"},
			banner: "Gamli borðinn",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := newStack(w, composeOf(t, fence(t, "yaml", "services:")))
			m := &moving{stack: s, from: from, desk: t.TempDir()}
			m.others()
			for _, number := range from.blocks {
				m.typeIn(blocks(t)[number])
			}
			for name, content := range from.files {
				m.write(filepath.Join(s.root, "path/to/netbox/config", name), content)
			}
			for _, name := range []string{"redis", "netbox"} {
				s.up[name] = w.start(m.spec(name))
			}
			w.logged(s.up["netbox"], "[netbox] the database is ready", migrating)
			t.Logf("200 after %.1f s", w.up(s.up["netbox"], "/login/").Seconds())
			w.holdsOld(s.up["postgres"], "netbox", from.release)
			if page := w.browse("http://"+host+":8000", nil).get("/login/"); !strings.Contains(string(page.body), from.banner) {
				t.Error("the log-in page is without the banner")
			}
			if strings.Contains(said(s.up["netbox"]), "is not read") {
				t.Error("the log names a variable that is not read")
			}
			out, errs, code, err := s.up["netbox"].Exec(t.Context(), []string{"netbox", "nbshell", "-c", "from django.conf import settings; print(settings.SECRET_KEY)"}, nil)
			if err != nil || code != 0 || !strings.Contains(out, oldSecretKey) {
				t.Errorf("the secret key is not the old one: status %d, %v: %s%s", code, err, out, errs)
			}
			if got := w.sql(s.up["postgres"], "netbox", "select string_agg(username, ' ' order by username) from users_user"); got != "admin erla" {
				t.Errorf("the accounts are %s, want admin and erla", got)
			}
			if _, err := os.Stat(filepath.Join(s.root, "path/to/netbox/config/scripts/theirs.py")); err != nil {
				t.Error(err)
			}
			w.stop(s.up["netbox"])
		})
	}
}

// blocks returns the command blocks in the steps of docs/migration.md.
func blocks(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(repository, "docs", "migration.md"))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, m := range regexp.MustCompile("(?ms)^   ```bash\n(.*?)^   ```$").FindAllSubmatch(page, -1) {
		found = append(found, strings.ReplaceAll(strings.TrimPrefix(string(m[1]), "   "), "\n   ", "\n"))
	}
	if len(found) != 5 {
		t.Fatalf("docs/migration.md has %d blocks of commands in its steps, want 5", len(found))
	}
	return found
}

// moving is one migration. desk is the working directory of its commands.
type moving struct {
	*stack
	from installation
	desk string
}

// others starts the PostgreSQL of the other installation and loads its data.
func (m *moving) others() {
	m.t.Helper()
	expand(m.t, filepath.Join("testdata", "older", m.from.release+".sql.gz"), filepath.Join(m.desk, "old.sql"))
	photo := filepath.Join(m.root, m.from.home, "media/image-attachments/site_1_photo.png")
	m.write(photo, string(decodedPhoto(m.t)))
	m.write(filepath.Join(m.root, m.from.home, "scripts/theirs.py"), "# a script\n")
	c := m.spec("postgres")
	c.Mounts[0].Host = m.t.TempDir() // a separate volume
	m.up["postgres"] = m.world.start(c)
	m.wait()
	m.run("postgres", []string{"psql", "-q", "-v", "ON_ERROR_STOP=1", "-U", "netbox", "-d", "netbox", "-o", "/dev/null"}, "old.sql", "")
}

// spec returns a service of the compose file, changed as the page describes.
func (m *moving) spec(name string) engine.Container {
	c := m.container(name)
	switch name {
	case "postgres":
		// Unlike the official image, it opens no Unix socket by default.
		c.Args = []string{"-c", "unix_socket_directories=/tmp"}
		c.Mounts = append(c.Mounts, engine.Mount{Path: "/desk", Host: m.desk})
	case "netbox":
		c.Env["ALLOWED_HOST"], c.Env["SKIP_SUPERUSER"] = host, "true"
		for variable, value := range m.from.env {
			if variable, value = renamed(m.t, variable, value); variable != "" {
				c.Env[variable] = value
			}
		}
	}
	return c
}

func (m *moving) wait() {
	m.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Second) {
		_, _, code, err := m.up["postgres"].Exec(m.t.Context(), []string{"pg_isready", "-q", "-h", "localhost"}, nil)
		if err == nil && code == 0 {
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("PostgreSQL is not ready: status %d, %v", code, err)
		}
	}
}

// run runs a program in a container; input and output name files in desk.
func (m *moving) run(name string, words []string, input, output string) {
	m.t.Helper()
	script := `"$@"`
	if input != "" {
		script += " <'/desk/" + input + "'"
	}
	if output != "" {
		script += " >'/desk/" + output + "'"
	}
	_, errs, code, err := m.up[name].Exec(m.t.Context(), append([]string{"bash", "-c", script, "bash"}, words...), map[string]string{"PGHOST": "/tmp"})
	if err != nil || code != 0 {
		m.t.Fatalf("%q in %s: status %d, %v: %s", words, name, code, err, errs)
	}
}

var redirection = regexp.MustCompile(`^(.*?)(?: ([<>]) (\S+))?$`)

// typeIn runs a block of commands line by line.
func (m *moving) typeIn(block string) {
	m.t.Helper()
	for line := range strings.Lines(strings.TrimSpace(block)) {
		command := redirection.FindStringSubmatch(strings.TrimSpace(line))
		input, output := "", ""
		if command[2] == "<" {
			input = command[3]
		} else {
			output = command[3]
		}
		words := m.split(command[1])
		switch is := func(start ...string) bool {
			return len(words) >= len(start) && slices.Equal(words[:len(start)], start)
		}; {
		case strings.HasPrefix(line, "until docker compose exec -T postgres pg_isready -q -h localhost; do"):
			m.wait()
		case is("docker", "compose", "stop"), is("sudo", "systemctl", "stop"), is("docker", "compose", "down"):
			if is("docker", "compose", "down") {
				m.leave()
			}
		case is("docker", "compose", "cp"):
			_, from, _ := strings.Cut(words[3], ":")
			m.host(fmt.Sprintf("cp -a '%s' '%s'", from, words[4]))
		case is("docker", "compose", "exec", "-T"):
			m.run(words[4], words[5:], input, output)
		case is("sudo", "-u", "postgres"):
			m.run("postgres", append([]string{"setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"}, words[3:]...), input, output)
			m.leave()
		case is("docker", "compose", "up", "-d"):
			m.up[words[4]] = m.world.start(m.spec(words[4]))
		case is("mkdir"), is("cp"), is("printf"):
			line = strings.NewReplacer("the old SECRET_KEY", oldSecretKey, "the old pepper number 1", oldPepper).Replace(line)
			m.host(line)
		default:
			m.t.Fatalf("docs/migration.md has a command that is unknown here: %s", line)
		}
	}
}

// leave stops the PostgreSQL of the other installation.
func (m *moving) leave() {
	m.t.Helper()
	if code, err := m.up["postgres"].Stop(m.t.Context()); err != nil || code != 0 {
		m.t.Fatalf("stop: status %d, %v", code, err)
	}
}

// host runs a host command in a shell, with paths moved under root.
func (m *moving) host(line string) {
	m.t.Helper()
	line = regexp.MustCompile(`/(path|opt)/`).ReplaceAllString(line, m.root+"/$1/")
	command := exec.CommandContext(m.t.Context(), "bash", "-euc", line)
	command.Dir = m.desk
	if out, err := command.CombinedOutput(); err != nil {
		m.t.Fatalf("%s: %v: %s", line, err, out)
	}
}

// split splits a command into words as a shell does.
func (m *moving) split(command string) []string {
	m.t.Helper()
	out, err := exec.CommandContext(m.t.Context(), "bash", "-c", `printf '%s\0' `+strings.ReplaceAll(command, ";", `\;`)).Output()
	if err != nil {
		m.t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

func (m *moving) write(file, content string) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// renamed converts a netbox-docker variable as the page describes; the name is empty
// when the image has no counterpart.
func renamed(t *testing.T, name, value string) (string, string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(repository, "docs", "migration.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Variables of netbox-docker\n")
	kept, table, _ := strings.Cut(section, "keep their names.")
	if strings.HasPrefix(name, "REDIS_CACHE_") { // the compose file has a single Redis
		return "", ""
	}
	if strings.Contains(kept, "`"+name+"`") {
		return name, value
	}
	word := regexp.MustCompile("`([A-Za-z_0-9]+)(?:=([^`]*))?`")
	for row := range strings.Lines(table) {
		cells := strings.Split(row, "|")
		if len(cells) != 4 {
			continue
		}
		for i, m := range word.FindAllStringSubmatch(cells[1], -1) {
			if m[1] != name || value == "" {
				continue
			}
			theirs := word.FindAllStringSubmatch(cells[2], -1)
			switch {
			case strings.HasPrefix(cells[2], " nothing"):
				return "", ""
			case m[2] != "" && m[2] != value: // such as a value that is the default here
				return "", ""
			default:
				theirs := theirs[min(i, len(theirs)-1)]
				if theirs[2] != "" {
					value = theirs[2]
				}
				return theirs[1], value
			}
		}
	}
	if mail, ok := strings.CutPrefix(name, "EMAIL_"); ok {
		return "NETBOX__EMAIL__" + mail, value
	}
	return "NETBOX__" + name, value
}
