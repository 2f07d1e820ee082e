package life

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// page maps each claim of the image's page to the test that proves it. Tests in tests/life
// boot the image; the others do not need to.
var page = map[string]string{
	"tag latest is an index of two architectures": "TestCheck",
	"tags amd64-VERSION and arm64v8-VERSION":      "TestATagOfOneArchitecturePointsAtItsImage",
	"a compose file, pasted":                      "TestTheComposeFileOfTheReadmeWorksAsItIsPasted",
	"a docker run, pasted":                        "TestTheDockerRunOfTheReadmeStarts",
	"-p 8000:8000":                                "TestTheComposeFileOfTheReadmeWorksAsItIsPasted",
	"PUID, PGID":                                  "TestTimeZoneUmaskAndIDsAreAppliedOrRefused",
	"PUID and PGID are 911 by default":            "TestWhatIsNotSetHasTheDefaultOfThePage",
	"TZ":                                          "TestTimeZoneUmaskAndIDsAreAppliedOrRefused",
	"UMASK":                                       "TestTimeZoneUmaskAndIDsAreAppliedOrRefused",
	"SUPERUSER_EMAIL, SUPERUSER_PASSWORD":         "TestTheComposeFileOfTheReadmeWorksAsItIsPasted",
	"SUPERUSER_NAME, SUPERUSER_API_TOKEN, SKIP_SUPERUSER": "TestOperatorsFromOtherImagesFindTheirWay",
	"NETBOX__SETTING": "TestEverySettingOfNetBoxHasAVariable",
	"ALLOWED_HOST":    "TestWhatIsNotSetHasTheDefaultOfThePage",
	"DB_NAME, DB_HOST, DB_PORT and their defaults":     "TestWhatIsNotSetHasTheDefaultOfThePage",
	"DB_USER, DB_PASSWORD":                             "TestWhatCannotWorkEndsWithOneLineThatNamesTheVariable",
	"REDIS_HOST, REDIS_PORT and their defaults":        "TestWhatIsNotSetHasTheDefaultOfThePage",
	"REDIS_PASSWORD":                                   "TestWhatCannotWorkEndsWithOneLineThatNamesTheVariable",
	"REDIS_PASSWORD is none by default":                "TestTheComposeFileOfTheReadmeWorksAsItIsPasted",
	"REDIS_DB_TASK, REDIS_DB_CACHE and their defaults": "TestWhatIsNotSetHasTheDefaultOfThePage",
	"BASE_PATH":                                "TestBasePathIsServed",
	"REMOTE_AUTH_*":                            "TestBehindNginx",
	"REMOTE_AUTH_* have their defaults":        "TestWhatIsNotSetHasTheDefaultOfThePage",
	"every variable has its row, and no other": "TestEveryVariableTheImageUnderstandsIsDocumented",
	"-v /config lasts":                         "TestARestartKeepsEverything",
	"FILE__MYVAR":                              "TestItStartsInOddSurroundings",
	"mods":                                     "TestAModIsPartOfTheContainerBeforeItsServicesStart",
	"docker exec /bin/bash and docker inspect's version": "TestWhatIsNotSetHasTheDefaultOfThePage",
	"a new image with the old /config":                   "TestARestartKeepsEverything",
	"docker stop":                                        "TestDockerStopNeverHasToKill",
	"the Dockerfiles build the image":                    "TestCheck",
	"the init graph":                                     "TestCheck",
	"every link, command and change of the page":         "TestEveryFactOfTheKnownPageIsThere",
}

func TestEveryPromiseOfThePageHasATest(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	err := filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(text, -1) {
			known[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for promise, test := range page {
		if !known[test] {
			t.Errorf("%s: there is no %s", promise, test)
		}
	}
}

// defaults are the documented values of unset variables, as NetBox's settings.
const defaults = `{
	"ALLOWED_HOSTS": ["netbox.test"],
	"BASE_PATH": "",
	"REMOTE_AUTH_ENABLED": false,
	"REMOTE_AUTH_BACKEND": ["netbox.authentication.RemoteUserBackend"],
	"REMOTE_AUTH_HEADER": "HTTP_REMOTE_USER",
	"REMOTE_AUTH_AUTO_CREATE_USER": false,
	"REMOTE_AUTH_DEFAULT_GROUPS": [],
	"REMOTE_AUTH_DEFAULT_PERMISSIONS": {},
	"TIME_ZONE": "Etc/UTC",
	"DEBUG": false,
	"database": ["netbox", "netbox", "postgres", "5432"],
	"tasks": ["redis", 6379, 0],
	"caching": ["redis", 6379, 1]
}`

const asNetBoxHasThem = `
import django, json
django.setup()
from django.conf import settings as s
database, tasks, caching = s.DATABASES['default'], s.REDIS['tasks'], s.REDIS['caching']
print(json.dumps({
    **{name: getattr(s, name) for name in %s},
    'database': [database[key] for key in ('NAME', 'USER', 'HOST', 'PORT')],
    'tasks': [tasks[key] for key in ('HOST', 'PORT', 'DATABASE')],
    'caching': [caching[key] for key in ('HOST', 'PORT', 'DATABASE')],
}))
`

func TestWhatIsNotSetHasTheDefaultOfThePage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.services()
	spec := w.spec("netbox", nil)
	spec.Env = map[string]string{"ALLOWED_HOST": host, "DB_USER": "netbox"} // the required variables besides the passwords
	c := w.start(spec)
	w.up(c, "/login/")
	healthy(t, c)

	var want map[string]any
	if err := json.Unmarshal([]byte(defaults), &want); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range want {
		if strings.ToUpper(name) == name {
			names = append(names, name)
		}
	}
	list, err := json.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	script := strings.Replace(asNetBoxHasThem, "%s", string(list), 1)
	out, errs, code, err := c.Exec(t.Context(), []string{"with-contenv", "s6-setuidgid", "abc", "/lsiopy/bin/python3", "-c", script}, nil)
	if err != nil || code != 0 {
		t.Fatalf("ask for the settings: status %d, %v: %s", code, err, errs)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, value := range want {
		if !reflect.DeepEqual(got[name], value) {
			t.Errorf("%s is %v, the page says %v", name, got[name], value)
		}
	}
	uids := 0
	for _, p := range c.Processes() {
		if p.UID != 0 && p.UID != 911 {
			t.Errorf("%s runs as %d, want 911", p.Command, p.UID)
		} else if p.UID == 911 {
			uids++
		}
	}
	if uids < 3 {
		t.Errorf("%d processes run as 911", uids)
	}
	if out, _, code, err := c.Exec(t.Context(), []string{"/bin/bash", "-c", "echo $BASH_VERSION"}, nil); err != nil || code != 0 || len(out) < 3 {
		t.Errorf("docker exec netbox /bin/bash: status %d, %v: %s", code, err, out)
	}
	config, err := machine.image.RawConfigFile()
	if err != nil || !bytes.Contains(config, []byte(`"build_version":"Linuxserver.io version:- v`)) {
		t.Errorf("docker inspect finds no version: %v", err)
	}
	w.stop(c)
}
