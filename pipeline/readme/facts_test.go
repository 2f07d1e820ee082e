package readme_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/linuxserver/docker-netbox/pipeline/readme"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

// promised lists the facts of the known page, line by line.
var promised = struct {
	headings, tableRows, compose, commandLine, commands, links, changes []string
}{
	headings: []string{
		"Supported Architectures", "Application Setup", "docker-compose", "docker cli", "Parameters",
		"Environment variables from files (Docker secrets)", "Umask for running applications",
		"User / Group Identifiers", "Docker Mods", "Support Info", "Updating Info", "Via Docker Compose",
		"Via Docker Run", "Image Update Notifications - Diun", "Building locally", "Versions",
	},
	tableRows: []string{
		`| x86-64 | ✅ | amd64-\<version tag\> |`,
		`| arm64 | ✅ | arm64v8-\<version tag\> |`,
		"| `-p 8000:8000` |",
		"| `-e PUID=1000` |", "| `-e PGID=1000` |", "| `-e TZ=Etc/UTC` |",
		"| `-e SUPERUSER_EMAIL=` |", "| `-e SUPERUSER_PASSWORD=` |", "| `-e ALLOWED_HOST=` |",
		"| `-e DB_NAME=` | *netbox", "| `-e DB_USER=` |", "| `-e DB_PASSWORD=` |",
		"| `-e DB_HOST=` | *postgres", "| `-e DB_PORT=` | *5432",
		"| `-e REDIS_HOST=` | *redis", "| `-e REDIS_PORT=` | *6379", "| `-e REDIS_PASSWORD=` | *none",
		"| `-e REDIS_DB_TASK=` | *0", "| `-e REDIS_DB_CACHE=` | *1",
		"| `-e BASE_PATH=` | *none", "| `-e REMOTE_AUTH_ENABLED=` | *False",
		"| `-e REMOTE_AUTH_BACKEND=` | *netbox.authentication.RemoteUserBackend",
		"| `-e REMOTE_AUTH_HEADER=` | *HTTP_REMOTE_USER", "| `-e REMOTE_AUTH_AUTO_CREATE_USER=` | *False",
		"| `-e REMOTE_AUTH_DEFAULT_GROUPS=` | *[]", "| `-e REMOTE_AUTH_DEFAULT_PERMISSIONS=` | *{}",
		"| `-v /config` |",
	},
	compose: []string{
		"image: lscr.io/linuxserver/netbox:latest", "container_name: netbox",
		"- PUID=1000", "- PGID=1000", "- TZ=Etc/UTC", "- SUPERUSER_EMAIL=", "- SUPERUSER_PASSWORD=", "- ALLOWED_HOST=",
		"- DB_NAME=", "- DB_USER=", "- DB_PASSWORD=", "- DB_HOST=", "- DB_PORT=", "- REDIS_HOST=", "- REDIS_PORT=",
		"- REDIS_PASSWORD=", "- REDIS_DB_TASK=", "- REDIS_DB_CACHE=",
		"- BASE_PATH= #optional", "- REMOTE_AUTH_ENABLED= #optional", "- REMOTE_AUTH_BACKEND= #optional",
		"- REMOTE_AUTH_HEADER= #optional", "- REMOTE_AUTH_AUTO_CREATE_USER= #optional",
		"- REMOTE_AUTH_DEFAULT_GROUPS= #optional", "- REMOTE_AUTH_DEFAULT_PERMISSIONS= #optional",
		"- /path/to/netbox/config:/config", "- 8000:8000", "restart: unless-stopped",
	},
	commandLine: []string{
		"--name=netbox", "-e PUID=1000", "-e PGID=1000", "-e TZ=Etc/UTC", "-e SUPERUSER_EMAIL=", "-e SUPERUSER_PASSWORD=",
		"-e ALLOWED_HOST=", "-e DB_NAME=", "-e DB_USER=", "-e DB_PASSWORD=", "-e DB_HOST=", "-e DB_PORT=", "-e REDIS_HOST=",
		"-e REDIS_PORT=", "-e REDIS_PASSWORD=", "-e REDIS_DB_TASK=", "-e REDIS_DB_CACHE=",
		"-e BASE_PATH= `#optional`", "-e REMOTE_AUTH_ENABLED= `#optional`", "-e REMOTE_AUTH_BACKEND= `#optional`",
		"-e REMOTE_AUTH_HEADER= `#optional`", "-e REMOTE_AUTH_AUTO_CREATE_USER= `#optional`",
		"-e REMOTE_AUTH_DEFAULT_GROUPS= `#optional`", "-e REMOTE_AUTH_DEFAULT_PERMISSIONS= `#optional`",
		"-p 8000:8000", "-v /path/to/netbox/config:/config", "--restart unless-stopped", "lscr.io/linuxserver/netbox:latest",
	},
	commands: []string{
		"-e FILE__MYVAR=/run/secrets/mysecretvariable", "-e UMASK=022", "id your_user",
		"uid=1000(your_user) gid=1000(your_user) groups=1000(your_user)",
		"docker exec -it netbox /bin/bash", "docker logs -f netbox",
		`docker inspect -f '{{ index .Config.Labels "build_version" }}' netbox`,
		`docker inspect -f '{{ index .Config.Labels "build_version" }}' lscr.io/linuxserver/netbox:latest`,
		"docker-compose pull", "docker-compose pull netbox", "docker-compose up -d", "docker-compose up -d netbox",
		"docker image prune", "docker pull lscr.io/linuxserver/netbox:latest", "docker stop netbox", "docker rm netbox",
		"git clone https://github.com/linuxserver/docker-netbox.git", "cd docker-netbox",
		`-t lscr.io/linuxserver/netbox:latest .`,
		"docker run --rm --privileged lscr.io/linuxserver/qemu-static --reset", "-f Dockerfile.aarch64",
		"<your-ip>:8000",
	},
	links: []string{
		"https://github.com/netbox-community/netbox", "https://scarf.sh/installs-badge/linuxserver-ci/linuxserver%2Fnetbox",
		"https://img.shields.io/github/stars/linuxserver/docker-netbox.svg", "https://github.com/linuxserver/docker-netbox/releases",
		"https://github.com/linuxserver/docker-netbox/packages", "https://gitlab.com/linuxserver.io/docker-netbox/container_registry",
		"https://quay.io/repository/linuxserver.io/netbox", "https://hub.docker.com/r/linuxserver/netbox",
		"https://img.shields.io/docker/stars/linuxserver/netbox.svg", "https://ci.linuxserver.io/job/",
		"https://ci-tests.linuxserver.io/linuxserver/netbox/latest/index.html",
		"https://raw.githubusercontent.com/linuxserver/docker-templates/master/linuxserver.io/img/netbox-logo.png",
		"https://distribution.github.io/distribution/spec/manifest-v2-2/#manifest-list",
		"https://blog.linuxserver.io/2019/02/21/the-lsio-pipeline-project/",
		"https://docs.linuxserver.io/general/docker-compose", "https://docs.docker.com/engine/reference/commandline/cli/",
		"https://en.wikipedia.org/wiki/List_of_tz_database_time_zones#List", "https://en.wikipedia.org/wiki/Umask",
		"https://mods.linuxserver.io/?mod=netbox", "https://mods.linuxserver.io/?mod=universal",
		"https://github.com/linuxserver/docker-mods", "https://crazymax.dev/diun/",
		"https://github.com/linuxserver/docker-netbox/blob/master/.github/CONTRIBUTING.md",
	},
	changes: []string{
		"26.08.24", "16.07.24", "01.06.24", "23.12.23", "11.06.23", "14.05.23", "05.03.23", "02.11.22", "01.08.22",
		"26.07.22", "10.12.21", "10.12.21", "26.04.21", "03.02.21", "02.01.21", "23.08.20",
	},
}

// graph is the init graph of the page: the dependencies of each service.
var graph = map[string][]string{
	"docker-mods":               {"base"},
	"init-services":             {"legacy-services", "custom services", "svc-cron", "svc-netbox-prepare"},
	"custom services":           {"legacy-services"},
	"legacy-services":           {"ci-service-check"},
	"init-migrations":           {"init-adduser", "init-os-end"},
	"init-os-end":               {"init-config", "init-crontab-config"},
	"init-config":               {"init-config-end", "init-netbox-config"},
	"init-netbox-config":        {"init-config-end"},
	"init-mods-end":             {"init-custom-files", "init-services"},
	"init-adduser":              {"init-device-perms", "init-os-end"},
	"base":                      {"init-envfile", "init-migrations", "init-mods", "init-os-end"},
	"init-config-end":           {"init-mods"},
	"init-mods":                 {"init-mods-end", "init-mods-package-install"},
	"init-mods-package-install": {"init-mods-end"},
	"init-device-perms":         {"init-os-end"},
	"init-envfile":              {"init-os-end"},
	"init-custom-files":         {"init-services"},
	"svc-cron":                  {"legacy-services"},
	"svc-netbox-prepare":        {"svc-netbox", "legacy-services"},
	"svc-netbox":                {"legacy-services"},
}

func TestEveryFactOfTheKnownPageIsThere(t *testing.T) { everyFact(t, page(t), promised.tableRows) }

func TestEveryFactIsOnTheSitesPageToo(t *testing.T) {
	v, extra, err := readme.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	text, err := v.Docs(extra)
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	checkSite(t, page)
	var rows []string // each flag has its own table, so rows omit it
	for _, row := range promised.tableRows {
		rows = append(rows, strings.NewReplacer("`-e ", "`", "`-p ", "`", "`-v ", "`").Replace(row))
	}
	everyFact(t, asGitHub(page), rows)
	for _, heading := range []string{
		"\n## Usage\n", "\n### Behind a reverse proxy\n", "\n#### Rights and limits\n", "](#users-who-logged-in-at-the-proxy)",
		"### Ports (`-p`)\n\n| Parameter | Function |", "### Environment Variables (`-e`)\n\n| Env | Function |",
		"### Volume Mappings (`-v`)\n\n| Volume | Function |", "### Miscellaneous Options\n", "\n??? info \"Init dependency graph\"\n\n    ```d2\n",
	} {
		if !strings.Contains(page, heading) {
			t.Errorf("%q is missing", heading)
		}
	}
	if !strings.HasPrefix(page, "---\ntitle: netbox\ntags:\n    - Administration\n    - Business\ndescription: ") {
		t.Errorf("the front matter is %.100q", page)
	}
	for _, others := range []string{"For maintainers", "<picture>", "<details>", "[!NOTE]"} {
		if strings.Contains(page, others) {
			t.Errorf("%q does not belong there", others)
		}
	}
}

func everyFact(t *testing.T, page string, rows []string) {
	t.Helper()
	page = unbroken.Replace(page)
	lines := strings.Split(page, "\n")
	contain := func(kind string, facts []string, text string) {
		for _, fact := range facts {
			if !strings.Contains(text, fact) {
				t.Errorf("%s: %q is missing", kind, fact)
			}
		}
	}
	for _, heading := range promised.headings {
		if !slices.ContainsFunc(lines, func(l string) bool {
			text := strings.TrimLeft(l, "#")
			return text != l && strings.HasPrefix(text, " "+heading)
		}) {
			t.Errorf("heading %q is missing", heading)
		}
	}
	for _, row := range rows {
		start, rest, _ := strings.Cut(row, "*") // the default may follow anywhere
		if !slices.ContainsFunc(lines, func(l string) bool {
			return strings.HasPrefix(l, start) && (rest == "" || strings.Contains(l, "default: `"+rest+"`") || strings.Contains(l, "default: "+rest+")"))
		}) {
			t.Errorf("table row %q is missing", row)
		}
	}
	contain("compose", promised.compose, block(t, page, "yaml"))
	contain("command line", promised.commandLine, block(t, page, "bash", "docker run -d"))
	contain("command", promised.commands, page)
	contain("link", promised.links, page)

	var dates []string
	for _, m := range regexp.MustCompile(`(?m)^\* \*\*(\d\d\.\d\d\.\d\d):\*\* - \S`).FindAllStringSubmatch(page, -1) {
		dates = append(dates, m[1])
	}
	// The entries of the known page, after the newer ones.
	if known := dates[max(0, len(dates)-len(promised.changes)):]; !slices.Equal(known, promised.changes) {
		t.Errorf("change log has the dates\n%q, want to end with\n%q", dates, promised.changes)
	}
	var have, want []string
	for line := range strings.SplitSeq(block(t, page, "d2"), "\n") {
		if strings.Contains(line, " -> ") {
			have = append(have, strings.TrimSpace(line))
		}
	}
	for from, tos := range graph {
		for _, to := range tos {
			want = append(want, from+" -> "+to)
		}
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("the graph has the edges\n%v, want\n%v", have, want)
	}
}

// The first screen shows how to start the image and links to the rest.
func TestThePageBeginsWithHowToStartIt(t *testing.T) {
	page := page(t)
	if lines := strings.Count(page, "\n"); lines > 420 {
		t.Errorf("README.md has %d lines: move something to docs", lines)
	}
	before, rest, ok := strings.Cut(page, "\n## Start it\n")
	if !ok || strings.Count(before, "\n") > 14 {
		t.Errorf("\"Start it\" does not stand on the first screen:\n%s", before)
	}
	how, _, _ := strings.Cut(rest, "\n```yaml\n")
	for _, fact := range []string{"docker compose up -d", "http://<your-ip>:8000", "`admin`"} {
		if !strings.Contains(how, fact) {
			t.Errorf("%q does not stand before the compose file:\n%s", fact, how)
		}
	}
	for _, section := range []string{"(#parameters)", "(#application-setup)", "(docs/operation.md)", "(#for-maintainers)"} {
		if !strings.Contains(before, section) {
			t.Errorf("the contents do not lead to %s:\n%s", section, before)
		}
	}
}

func TestMaintainersFindTheirCommands(t *testing.T) {
	pinned, err := versions.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(page(t), "\n## For maintainers\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, fact := range []string{
		"\ngo run ./ci check\n", "\ngo test -timeout 80m ./...\n", "\ndagger call build\n", "Debian", "root", "](.github/report.png)", "](docs/maintaining.md)",
	} {
		if !strings.Contains(section, fact) {
			t.Errorf("%q is missing", fact)
		}
	}
	for _, fact := range []string{pinned.Base.Published, "Alpine 3.23", "s6-overlay 3.1.6.2", "eight edges"} {
		if _, building, _ := strings.Cut(page(t), "\n## Building locally\n"); !strings.Contains(building, fact) {
			t.Errorf("%q is missing next to docker build", fact)
		}
	}
	if lines := strings.Count(section, "\n"); lines > 30 {
		t.Errorf("the section has %d lines: move something to docs/maintaining.md", lines)
	}
	text, err := os.ReadFile(root + "docs/maintaining.md")
	if err != nil {
		t.Fatal(err)
	}
	rest := string(text)
	for _, fact := range []string{
		"`dist/`", pinned.Base.Local.Suite, strings.Split(pinned.Base.Published, "@")[0],
		"| `build` |", "| `boot` |", "| `graph` |", "| `readme` |", "| `publish` |", "| `report` |", "| `check` |", "| `clean` |",
	} {
		if !strings.Contains(rest, fact) {
			t.Errorf("%q is missing", fact)
		}
	}
}

// unbroken removes the optional line breaks in long names.
var unbroken = strings.NewReplacer("<code>", "`", "</code>", "`", "<wbr>", "")

// documented returns the environment variables in the page's table, with their
// descriptions.
func documented(page string) map[string]string {
	found := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `-e ([A-Z_]+)=.*?` \\| (.*) \\|$").FindAllStringSubmatch(unbroken.Replace(page), -1) {
		found[m[1]] = m[2]
	}
	return found
}

// The image's own list defines which variables it supports.
func TestEveryVariableTheImageUnderstandsIsDocumented(t *testing.T) {
	source, err := os.ReadFile(root + "root/opt/netbox/lib/netbox_container/environment.py")
	if err != nil {
		t.Fatal(err)
	}
	rows := documented(page(t))
	variable := regexp.MustCompile(`(?m)^\s+Variable\('(\w+)',\s+(?:_one_of\(.*?\)|\w+),\s+('[^']*'|\w+|\[\]|\{\})[,)]`)
	known := map[string]bool{"PUID": true, "PGID": true, // the base image's
		"NETBOX__SETTING": true} // stands for all of NetBox's
	for _, m := range variable.FindAllStringSubmatch(string(source), -1) {
		name, standard := m[1], strings.Trim(m[2], "'")
		known[name] = true
		desc, ok := rows[name]
		if !ok {
			t.Errorf("%s is understood but not documented", name)
		} else if name != "TZ" && name != "ALLOWED_HOST" && standard != "" && standard != "None" &&
			!strings.Contains(desc, "default: `"+standard+"`") && !(standard == "[]" && strings.Contains(desc, "default: none")) {
			t.Errorf("%s: the default %s is not named: %s", name, standard, desc)
		}
	}
	if len(known) < 30 {
		t.Fatalf("only %d variables were found in the image's list", len(known))
	}
	for name := range rows {
		if !known[name] {
			t.Errorf("%s is documented but not understood", name)
		}
	}
}

func TestComposeFileIsCompleteAndFitsThePins(t *testing.T) {
	page := page(t)
	var file struct {
		Services map[string]struct {
			Image       string
			Environment []string
			Ports       []string
			Volumes     []string
		}
	}
	if err := yaml.Unmarshal([]byte(block(t, page, "yaml")), &file); err != nil {
		t.Fatal(err)
	}
	pinned, err := versions.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := file.Services["postgres"].Image, pinned.Sidecars.Postgres.Image; got != want {
		t.Errorf("PostgreSQL is %s, want %s as in versions.yml", got, want)
	}
	if got, want := file.Services["redis"].Image, pinned.Sidecars.Redis.Image; got != want {
		t.Errorf("Redis is %s, want %s as in versions.yml", got, want)
	}
	set := func(service string) map[string]string {
		env := map[string]string{}
		for _, item := range file.Services[service].Environment {
			name, value, ok := strings.Cut(item, "=")
			if !ok {
				t.Errorf("%s: %q has no value", service, item)
			}
			env[name] = value
		}
		return env
	}
	netbox, postgres, rows := set("netbox"), set("postgres"), documented(page)
	for name := range netbox {
		if _, ok := rows[name]; !ok {
			t.Errorf("%s is in the compose file but not documented", name)
		}
	}
	for _, pair := range [][2]string{
		{netbox["DB_NAME"], postgres["POSTGRES_DB"]}, {netbox["DB_USER"], postgres["POSTGRES_USER"]},
		{netbox["DB_PASSWORD"], postgres["POSTGRES_PASSWORD"]}, {netbox["DB_HOST"], "postgres"}, {netbox["REDIS_HOST"], "redis"},
	} {
		if pair[0] == "" || pair[0] != pair[1] {
			t.Errorf("the services do not fit together: %q and %q", pair[0], pair[1])
		}
	}
	for _, required := range []string{"ALLOWED_HOST", "SUPERUSER_EMAIL", "SUPERUSER_PASSWORD"} {
		if netbox[required] == "" {
			t.Errorf("%s has no value, so nobody can log in", required)
		}
	}
}

func TestLineOfTheInitDiagramIsKnown(t *testing.T) {
	data, err := os.ReadFile(root + readme.File)
	if err != nil {
		t.Fatal(err)
	}
	v, err := readme.Parse(readme.File, data)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	if got := lines[v.Line("init_diagram")-1]; got != "init_diagram: |" {
		t.Errorf("line %d is %q", v.Line("init_diagram"), got)
	}
	if !strings.HasPrefix(v.InitDiagram, strings.TrimSpace(lines[v.Line("init_diagram")])) {
		t.Errorf("the graph does not begin on the next line: %q", lines[v.Line("init_diagram")])
	}
}
