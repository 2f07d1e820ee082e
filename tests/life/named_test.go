package life

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

var another = map[string]any{"NAME": "another", "USER": "u", "PASSWORD": "p", "HOST": "h", "PORT": "1", "OPTIONS": map[string]any{"sslmode": "require"}}

// chosen has values for settings that NetBox restricts to certain values.
var chosen = map[string]any{
	"AUTH_PASSWORD_VALIDATORS": []any{map[string]any{"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"}},
	"BASE_PATH":                "below/",
	"DATABASE":                 another,
	"DATABASES":                map[string]any{"default": another},
	"DEFAULT_LANGUAGE":         "de",
	"DISK_BASE_UNIT":           1024.0,
	"GRAPHQL_DEFAULT_VERSION":  2.0,
	"LOGIN_TIMEOUT":            60.0,
	"PLUGINS":                  []any{},
	"PROXY_ROUTERS":            []any{"utilities.proxy.DefaultProxyRouter"},
	"RAM_BASE_UNIT":            1024.0,
	"RELEASE_CHECK_URL":        "https://releases.example/netbox",
	"REMOTE_AUTH_BACKEND":      []any{"netbox.authentication.RemoteUserBackend", "django.contrib.auth.backends.ModelBackend"},
	"SECRET_KEY":               strings.Repeat("7", keyLength),
	"TIME_ZONE":                "Asia/Kathmandu",
}

// TestEverySettingOfNetBoxHasAVariable asks NetBox which settings it reads, and sets each
// by the variable of its name.
func TestEverySettingOfNetBoxHasAVariable(t *testing.T) {
	a := askers(t, 1)[0]
	all, err := a.ask(question{Settings: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Named) < 100 {
		t.Fatalf("NetBox asked for %d settings: %v", len(all.Named), slices.Sorted(maps.Keys(all.Named)))
	}
	arrived := 0
	for _, name := range slices.Sorted(maps.Keys(all.Named)) {
		want, special := chosen[name]
		if !special {
			switch old := all.Named[name].(type) {
			case bool:
				want = !old
			case float64:
				want = old + 1
			case string:
				want = "7" // unchanged: a string that looks like a number
			case []any:
				want = append(slices.Clone(old), "x.example")
			case map[string]any:
				want = maps.Clone(old)
				want.(map[string]any)["x"] = "y"
			default:
				want = "some/text"
			}
		}
		text, isText := want.(string)
		if !isText {
			data, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			text = string(data)
		}
		r, err := a.ask(question{Set: map[string][]byte{"NETBOX__" + name: []byte(text)}})
		if err != nil {
			t.Fatal(err)
		}
		got := r.Named[name]
		if name == "DATABASE" { // the older form of the setting
			want = map[string]any{"default": want}
		}
		if s, ok := got.(string); ok {
			got = strings.TrimSuffix(s, "/")
			if s, ok := want.(string); ok {
				want = strings.TrimSuffix(s, "/")
			}
		}
		switch {
		case r.Code == 0 && contains(got, want):
			arrived++
		case r.Code == -1 && strings.Contains(r.Said, "ImproperlyConfigured"):
			// NetBox itself rejects the invented value, so the value has reached it.
		default:
			t.Errorf("NETBOX__%s=%s: status %d, NetBox has %v: %.600s", name, brief(text), r.Code, got, r.Said)
		}
	}
	t.Logf("%d settings, %d of them set to another value", len(all.Named), arrived)
	if refused := len(all.Named) - arrived; refused > 6 {
		t.Errorf("NetBox refused %d of the values", refused)
	}
}

// contains reports whether got equals want or, as NetBox adds to some mappings, has all of
// its entries.
func contains(got, want any) bool {
	more, ok := got.(map[string]any)
	part, both := want.(map[string]any)
	if !ok || !both {
		return reflect.DeepEqual(got, want)
	}
	for key, value := range part {
		if !contains(more[key], value) {
			return false
		}
	}
	return true
}

// TestASettingByItsNameIsTakenOrNamed covers values that operators type, and the order in
// which values apply.
func TestASettingByItsNameIsTakenOrNamed(t *testing.T) {
	a := askers(t, 1)[0]
	t.Run("taken", func(t *testing.T) {
		q := question{Set: map[string][]byte{}, Files: map[string][]byte{"NETBOX__EMAIL__PASSWORD": []byte("0123 \"hunter2\"\n")}}
		for name, value := range map[string]string{
			"NETBOX__LOGIN_REQUIRED": "no", "NETBOX__EMAIL__SERVER": "smtp.example.com", "NETBOX__EMAIL__PORT": "587", "NETBOX__EMAIL__USE_TLS": "true",
			"NETBOX__HTTP_PROXIES__https": "http://proxy.example:3128", "NETBOX__BANNER_TOP": "<b>1</b>", "NETBOX__LOGIN_TIMEOUT": "1209600",
			"NETBOX__CORS_ORIGIN_WHITELIST": "('https://a.example',)", "NETBOX__PLUGINS_CONFIG__some_plugin__deep__on": "True",
			"BASE_PATH": "one", "NETBOX__BASE_PATH": "two", "NETBOX__SOCIAL_AUTH_OIDC_SECRET": "123",
		} {
			q.Set[name] = []byte(value)
		}
		r, err := a.ask(q)
		if err != nil || r.Code != 0 {
			t.Fatalf("%v, status %d: %s", err, r.Code, r.Said)
		}
		for name, want := range map[string]string{
			"LOGIN_REQUIRED": "false", "EMAIL": `{"PASSWORD":"0123 \"hunter2\"","PORT":587,"SERVER":"smtp.example.com","USE_TLS":true}`,
			"HTTP_PROXIES": `{"https":"http://proxy.example:3128"}`, "BANNER_TOP": `"<b>1</b>"`, "LOGIN_TIMEOUT": "1209600",
			"CORS_ORIGIN_WHITELIST": `["https://a.example"]`, "PLUGINS_CONFIG": `{"some_plugin":{"deep":{"on":true}}}`,
			"BASE_PATH": `"two/"`, "SOCIAL_AUTH_OIDC_SECRET": `"123"`,
		} {
			if got, err := json.Marshal(r.Named[name]); err != nil || !same(string(got), want) {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
		if strings.Contains(r.Said+r.Log, "hunter2") {
			t.Errorf("the log has a secret: %s%s", r.Log, r.Said)
		}
	})
	for variable, test := range map[string]struct{ value, says string }{
		"NETBOX__LOGIN_REQIURED":  {"hunter2", "is no setting of this NetBox: did you mean NETBOX__LOGIN_REQUIRED?"},
		"NETBOX__login_required":  {"hunter2", "is no setting of this NetBox: did you mean NETBOX__LOGIN_REQUIRED?"},
		"NETBOX__EMAIL__SERVR":    {"hunter2", "is no setting of this NetBox: did you mean NETBOX__EMAIL__SERVER?"},
		"NETBOX__QUITE_ANOTHER":   {"hunter2", "is no setting of this NetBox"},
		"NETBOX__LOGIN_REQUIRED":  {"hunter2", "must be true or false"},
		"NETBOX__MAX_PAGE_SIZE":   {"hunter2", "must be a number"},
		"NETBOX__PLUGINS":         {"hunter2", `must be a list of strings, as JSON or Python: ["one", "two"]`},
		"NETBOX__EMAIL":           {"hunter2", `must be a mapping, as JSON or Python: {"key": "value"}`},
		"NETBOX__BANNER_TOP__ONE": {"hunter2", "names a part of BANNER_TOP, which has none"},
		"NETBOX__BANNER_LOGIN":    {"hunter2\xff", "must be text in UTF-8"},
	} {
		r, err := a.ask(question{Set: map[string][]byte{variable: []byte(test.value)}})
		if want := fmt.Sprintf("[netbox] configuration: %s %s\n", variable, test.says); err != nil || r.Code != 1 || r.Said != want {
			t.Errorf("%v, status %d, it says %q, want %q", err, r.Code, r.Said, want)
		}
	}
}

// TestTheSettingsOfTheDocumentationAreTaken sets all variables of the documentation page,
// with its spellings.
func TestTheSettingsOfTheDocumentationAreTaken(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(repository, "docs/configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	q := question{Set: map[string][]byte{}, Files: map[string][]byte{"NETBOX__EMAIL__PASSWORD": []byte("secret")}}
	for _, found := range regexp.MustCompile("`(NETBOX__[A-Za-z_]+)=([^`]*)`").FindAllStringSubmatch(string(page), -1) {
		q.Set[found[1]] = []byte(found[2])
	}
	if len(q.Set) < 15 {
		t.Fatalf("the page has %d variables", len(q.Set))
	}
	r, err := askers(t, 1)[0].ask(q)
	if err != nil || r.Code != 0 {
		t.Fatalf("%v, status %d: %s", err, r.Code, r.Said)
	}
	for variable, value := range q.Set {
		name, part, _ := strings.Cut(strings.TrimPrefix(variable, "NETBOX__"), "__")
		got := r.Named[name]
		if part != "" {
			parts, _ := got.(map[string]any)
			got = parts[part]
		}
		text, isText := got.(string)
		if data, err := json.Marshal(got); !isText && (err != nil || string(data) != string(value)) || isText && text != string(value) {
			t.Errorf("%s=%s became %v", variable, value, got)
		}
	}
}

// TestOperatorsFromOtherImagesFindTheirWay covers the variables of other images, including
// unused ones, and the initial API token.
func TestOperatorsFromOtherImagesFindTheirWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.services()
	token := "nbt_abcdefGHIJ12." + strings.Repeat("aZ09", 10)
	spec := w.spec("netbox", map[string]string{
		"SUPERUSER_NAME": "operator", "FILE__SUPERUSER_API_TOKEN": "/token",
		"ALLOWED_HOSTS": "hunter2", "DB_PASS": "hunter2", "POSTGRES_DB": "hunter2", "DB_PASSWORD_FILE": "hunter2", "MAX_PAGE_SIZE": "hunter2",
		"REDIS_SERVICE_HOST": "10.0.0.1", "S3_SECRET_KEY": "hunter2",
	})
	spec.Files = append(spec.Files, engine.File{Path: "/token", Mode: 0o400, Content: []byte(token + "\n")})
	c := w.start(spec)
	w.up(c, "/login/")
	for name, meant := range map[string]string{
		"ALLOWED_HOSTS": "ALLOWED_HOST", "DB_PASS": "DB_PASSWORD", "POSTGRES_DB": "DB_NAME", "DB_PASSWORD_FILE": "FILE__DB_PASSWORD", "MAX_PAGE_SIZE": "NETBOX__MAX_PAGE_SIZE",
	} {
		if line := fmt.Sprintf("[netbox] configuration: %s is not read: did you mean %s?", name, meant); strings.Count(said(c), line) != 1 {
			t.Errorf("the log has not once %q", line)
		}
	}
	if log := said(c); strings.Count(log, " is not read: ") != 5 || strings.Contains(log, "hunter2") || strings.Contains(log, token[20:]) {
		t.Errorf("the log names others, or shows a value:\n%s", log)
	}
	got := w.must(http.StatusOK, http.MethodGet, "/api/users/tokens/", token, nil)
	if got["count"] != 1.0 {
		t.Errorf("there are %v tokens, want 1", got["count"])
	}
	w.browse("http://"+host+":8000", nil).mustLogIn("operator", password)
	for _, command := range [][]string{
		{"netbox", "nbshell", "-c", "import os; from users.models import User; print(User.objects.get().username, os.geteuid(), os.environ['DB_PASSWORD'] != '', os.environ['HOME'])"},
		{"netbox", "changepassword", "--help"},
		{"netbox", "createsuperuser", "--noinput", "--username", "second", "--email", "second@netbox.test"},
	} {
		out, errs, code, err := c.Exec(t.Context(), command, map[string]string{"DJANGO_SUPERUSER_PASSWORD": password})
		if err != nil || code != 0 || command[1] == "nbshell" && !strings.Contains(out, "operator 1000 True /config") {
			t.Errorf("%v: status %d, %v: %s%s", command, code, err, out, errs)
		}
	}
	w.stop(c)
	// An existing account stays unchanged, whatever the variables request.
	again := w.netbox(map[string]string{"SUPERUSER_NAME": "third", "SUPERUSER_API_TOKEN": token, "SKIP_SUPERUSER": "true"})
	w.up(again, "/login/")
	if got := w.must(http.StatusOK, http.MethodGet, "/api/users/users/", token, nil); got["count"] != 2.0 {
		t.Errorf("there are %v accounts, want 2", got["count"])
	}
	w.stop(again)
}
