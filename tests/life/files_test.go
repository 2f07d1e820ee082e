package life

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
)

// TestFilesOfVariablesAreReadAsDocumented sets one FILE__ variable per case, and checks
// the value and the log line.
func TestFilesOfVariablesAreReadAsDocumented(t *testing.T) {
	t.Parallel()
	a := askers(t, 1)[0]
	odd := "'\"\\|&/$ *#%{}`\n\u00e9\u6f22\U0001f986"
	const set = `^\[env-init\] DB_NAME set from FILE__DB_NAME$`
	const newline = `^\[env-init\] Your secret: FILE__DB_NAME\n +contains a trailing newline .*\n\[env-init\] DB_NAME set from FILE__DB_NAME$`
	const missing = `^\[env-init\] cannot find secret in FILE__DB_NAME$`
	for _, test := range []struct {
		name  string
		q     question
		value string // expected DB_NAME; "netbox" is the default
		log   string
	}{
		{"a plain value", question{Files: map[string][]byte{"DB_NAME": []byte("plain")}}, "plain", set},
		{"everything odd", question{Files: map[string][]byte{"DB_NAME": []byte(odd)}}, odd, set},
		{"a newline at the end", question{Files: map[string][]byte{"DB_NAME": []byte("line\n")}}, "line", newline},
		{"two newlines at the end", question{Files: map[string][]byte{"DB_NAME": []byte("line\n\n")}}, "line\n", newline},
		{"an empty file", question{Files: map[string][]byte{"DB_NAME": {}}, Set: map[string][]byte{"DB_NAME": []byte("plain")}}, "netbox", set},
		{"the variable and its file", question{Files: map[string][]byte{"DB_NAME": []byte("file")}, Set: map[string][]byte{"DB_NAME": []byte("plain")}}, "file", set},
		{"no such file", question{Set: map[string][]byte{"FILE__DB_NAME": []byte("/no/where"), "DB_NAME": []byte("plain")}}, "plain", missing},
		{"a directory", question{Set: map[string][]byte{"FILE__DB_NAME": []byte("/run"), "DB_NAME": []byte("plain")}}, "plain", missing},
		// A variable cannot contain NUL: s6 replaces it with a newline.
		{"a NUL byte", question{Files: map[string][]byte{"DB_NAME": []byte("a\x00b")}, Set: map[string][]byte{"DB_NAME": []byte("plain")}}, "a\nb", set},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := a.ask(test.q)
			if err != nil {
				t.Fatal(err)
			}
			if r.Code != 0 || string(r.Texts["DB_NAME"]) != test.value {
				t.Errorf("status %d, DB_NAME is %q, want 0 and %q: %s", r.Code, r.Texts["DB_NAME"], test.value, r.Said)
			}
			if log := strings.TrimSuffix(r.Log, "\n"); !regexp.MustCompile(test.log).MatchString(log) {
				t.Errorf("the log has %q, want %s", log, test.log)
			}
		})
	}
}

// TestAFileThatIsTooLongForAVariableIsNamedAtTheEnd needs no database: Linux starts no
// program with such a variable.
func TestAFileThatIsTooLongForAVariableIsNamedAtTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	spec := w.spec("netbox", map[string]string{"FILE__DB_PASSWORD": "/run/secrets/long"})
	spec.Files = []engine.File{{Path: "/run/secrets/long", Mode: 0o400, Content: []byte(strings.Repeat("x", 200<<10))}}
	c := w.start(spec)
	if code := w.ended(c); code != 1 {
		t.Errorf("it ended with status %d, want 1", code)
	}
	if want := "DB_PASSWORD has 204800 bytes, more than the 131059 that Linux takes: check the file of FILE__DB_PASSWORD"; lastWords(c) != want {
		t.Errorf("the log ends with %q, want %q", lastWords(c), want)
	}
	for _, want := range []string{"[env-init] DB_PASSWORD set from FILE__DB_PASSWORD", "Argument list too long"} {
		if !strings.Contains(said(c), want) {
			t.Errorf("the log does not have %q", want)
		}
	}
}

// TestTheUsersFilesApplyInTheirOrderOverTheEnvironment changes variables and files
// between starts.
func TestTheUsersFilesApplyInTheirOrderOverTheEnvironment(t *testing.T) {
	t.Parallel()
	a := askers(t, 1)[0]
	settings := func(env map[string]string) map[string]any {
		t.Helper()
		q := question{Set: map[string][]byte{}}
		for name, value := range env {
			q.Set[name] = []byte(value)
		}
		r, err := a.ask(q)
		if err != nil || r.Code != 0 {
			t.Fatalf("%v, status %d: %s", err, r.Code, r.Said)
		}
		return r.Typed
	}
	want := func(when string, env map[string]string, path string, port string) {
		t.Helper()
		if got := settings(env); got["BASE_PATH"] != path || got["DB_PORT"] != port {
			t.Errorf("%s: BASE_PATH is %q and DB_PORT %q, want %q and %q", when, got["BASE_PATH"], got["DB_PORT"], path, port)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(a.config, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want("by variables", map[string]string{"BASE_PATH": "one", "DB_PORT": "5001"}, "one/", "5001")
	want("by other variables", map[string]string{"BASE_PATH": "two", "DB_PORT": "5002"}, "two/", "5002")
	write("configuration.d/20-last.py", "BASE_PATH = BASE_PATH + '/last'\n")
	write("configuration.d/10-first.py", "BASE_PATH = BASE_PATH + '/first'\n")
	write("configuration.d/30-ignored.txt", "BASE_PATH = 'ignored'\n")
	want("with drop-ins", map[string]string{"BASE_PATH": "three", "DB_PORT": "5003"}, "three/first/last/", "5003")
	write("configuration.py", "BASE_PATH = 'mine'\n")
	want("with configuration.py", map[string]string{"BASE_PATH": "four", "DB_PORT": "5004"}, "mine/", "5004")
}

// TestAMistakeInAFileIsOneLineThatNamesIt starts the image with mistakes that it
// reports before it connects to any service.
func TestAMistakeInAFileIsOneLineThatNamesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, test := range []struct {
		name  string
		files map[string]string // paths are relative to /config
		env   map[string]string
		says  string
	}{
		{"a syntax error", map[string]string{"configuration.py": "A = 1\nB = (\n"}, nil,
			`configuration: /config/configuration.py, line 2: `},
		{"an error at run time", map[string]string{"configuration.d/10.py": "A = 1\n\nB = nothing\n"}, nil,
			`configuration: /config/configuration.d/10.py, line 3: NameError: name 'nothing' is not defined`},
		{"a wrong type", map[string]string{"configuration.py": "A = 1\nALLOWED_HOSTS = 'netbox.test'\n"}, nil,
			`configuration: /config/configuration.py, line 2: ALLOWED_HOSTS must be a list, not a str`},
		{"a wrong type of a section", map[string]string{"configuration.py": "REDIS = None\n"}, nil,
			`configuration: /config/configuration.py, line 1: REDIS must be a dict, not a NoneType`},
		{"a key cut off", map[string]string{"keys/secret_key": "short\n"}, nil,
			`configuration: /config/keys/secret_key holds fewer than 50 characters: `},
		{"an empty pepper", map[string]string{"keys/token_pepper": ""}, nil,
			`configuration: /config/keys/token_pepper holds fewer than 50 characters: `},
		{"a short SECRET_KEY", nil, map[string]string{"SECRET_KEY": "hunter2"},
			`configuration: SECRET_KEY must be text of 50 or more characters`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := *w
			in.t, in.config = t, t.TempDir()
			for name, text := range test.files {
				path := filepath.Join(in.config, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			c := in.start(in.spec("netbox-"+strings.ReplaceAll(strings.ToLower(test.name), " ", "-"), test.env))
			if code := in.ended(c); code == 0 {
				t.Error("it ended with status 0")
			}
			var lines []string
			for line := range strings.Lines(said(c)) {
				if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, "[netbox] ") && !strings.HasSuffix(line, " applies over the environment") {
					lines = append(lines, line)
				}
			}
			if len(lines) != 1 || !strings.HasPrefix(lines[0], "[netbox] "+test.says) || strings.Contains(said(c), "Traceback") || strings.Contains(said(c), "hunter2") {
				t.Errorf("want one line that begins with %q, got %q", test.says, lines)
			}
		})
	}
}

// TestOperatorsScriptsRunAndTheirServicesAreKeptRunning needs no database: scripts and
// services start before NetBox.
func TestOperatorsScriptsRunAndTheirServicesAreKeptRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	spec := w.spec("netbox", map[string]string{"DB_NAME": "of the container"})
	for path, text := range map[string]string{
		"/custom-cont-init.d/10-first": `echo "first as $(id -u), DB_NAME=$DB_NAME"`,
		"/custom-cont-init.d/20-fails": `exit 3`,
		"/custom-cont-init.d/30-last":  `echo last`,
		"/custom-services.d/beat":      "#!/usr/bin/with-contenv bash\necho \"a beat, DB_NAME=$DB_NAME\"\nsleep 1",
	} {
		spec.Files = append(spec.Files, engine.File{Path: path, Mode: 0o755, Content: []byte(text + "\n")})
	}
	spec.Files = append(spec.Files, engine.File{Path: "/custom-cont-init.d/25-of-another", Mode: 0o755, UID: 1000, Content: []byte("echo another\n")})
	c := w.start(spec)
	waitFor(t, c, "a beat, DB_NAME=of the container", 2, patience)
	// Each base has its own warning that 25-of-another runs as root.
	warning := regexp.MustCompile(`(?m)^\[custom-init\] /custom-cont-init.d/25-of-another: runs as root, but others can change it: .*\n|Some of the contents of the folder /custom-cont-init.d\s[\s\S]* are not owned by root`)
	log := said(c)
	if len(warning.FindAllString(log, -1)) != 1 {
		t.Errorf("the log does not name the script of another user, once:\n%s", log)
	}
	var lines []string
	for line := range strings.Lines(warning.ReplaceAllString(log, "")) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "[custom-init]") || strings.HasPrefix(line, "first") || line == "another" || line == "last" {
			lines = append(lines, line)
		}
	}
	want := []string{
		"[custom-init] Service files found in /custom-services.d",
		"[custom-init] beat: service detected, copying...", "[custom-init] beat: copied",
		"[custom-init] Files found, executing",
		"[custom-init] 10-first: executing...", "first as 0, DB_NAME=of the container", "[custom-init] 10-first: exited 0",
		"[custom-init] 20-fails: executing...", "[custom-init] 20-fails: exited 3",
		"[custom-init] 25-of-another: executing...", "another", "[custom-init] 25-of-another: exited 0",
		"[custom-init] 30-last: executing...", "last", "[custom-init] 30-last: exited 0",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("the log has\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if _, err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// waitFor waits until the log contains text the given number of times.
func waitFor(t *testing.T, c *local.Container, text string, times int, limit time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(limit); strings.Count(said(c), text) < times; time.Sleep(100 * time.Millisecond) {
		select {
		case <-c.Done():
			t.Fatalf("the container ended before its log had %q %d times", text, times)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s the log does not have %q %d times", limit, text, times)
		}
	}
}
