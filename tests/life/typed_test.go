package life

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/tests/campaign"
)

// typed is a variable that accepts only some values. spellings maps values to NetBox's
// setting in JSON. accepts, where set, matches all accepted values.
type typed struct {
	spellings map[string]string
	accepts   *regexp.Regexp
}

var (
	truth = typed{map[string]string{"true": "true", "Yes": "true", " on ": "true", "1": "true", "T": "true", "false": "false", "NO": "false", "off": "false", "0": "false", "n": "false"},
		regexp.MustCompile(`^(?i)(true|yes|on|1|t|y|false|no|off|0|f|n)$`)}
	port = typed{map[string]string{"1": "1", "65535": "65535", " 6380 ": "6380"},
		regexp.MustCompile(`^0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$`)}
	hostName = typed{map[string]string{"redis.example": `"redis.example"`, " redis_1 ": `"redis_1"`, "10.0.0.1": `"10.0.0.1"`, "fd00::1": `"fd00::1"`, "[fd00::1]": `"fd00::1"`}, nil}
	few      = typed{map[string]string{"1": "1", "64": "64", " 7": "7"}, nil}
)

var typedVariables = map[string]typed{
	"TZ":           {map[string]string{"Europe/Berlin": `"Europe/Berlin"`, "UTC": `"UTC"`}, nil},
	"ALLOWED_HOST": {map[string]string{"*": `["*"]`, "a.example, b.example": `["a.example","b.example"]`, `["a.example","[::1]"]`: `["a.example","[::1]"]`, "('a', '.b')": `["a",".b"]`}, nil},
	"DB_HOST":      {map[string]string{"db": `"db"`, "/run/postgresql": `"/run/postgresql"`, "a,b": `"a,b"`, "fd00::1": `"fd00::1"`}, nil},
	"DB_PORT":      {map[string]string{"5433": `"5433"`, " 1 ": `"1"`}, port.accepts},
	"DB_SSLMODE":   {map[string]string{"require": `"require"`, "Verify-Full": `"verify-full"`}, regexp.MustCompile(`^(?i)(disable|allow|prefer|require|verify-ca|verify-full)$`)},
	"REDIS_HOST":   hostName, "REDIS_CACHE_HOST": hostName, "REDIS_PORT": port, "REDIS_CACHE_PORT": port,
	"REDIS_DB_TASK":                   {map[string]string{"0": "0", "15": "15"}, nil},
	"REDIS_DB_CACHE":                  {map[string]string{"2": "2", "65535": "65535"}, nil},
	"REDIS_SSL_VERIFY":                truth,
	"BASE_PATH":                       {map[string]string{"/netbox": `"netbox/"`, "netbox/": `"netbox/"`, "/a/b.c/": `"a/b.c/"`, "/": `""`}, nil},
	"REMOTE_AUTH_ENABLED":             truth,
	"REMOTE_AUTH_AUTO_CREATE_USER":    truth,
	"REMOTE_AUTH_DEFAULT_GROUPS":      {map[string]string{`["one", "two \"2\""]`: `["one","two \"2\""]`, "['it''s', \"x\"]": `["its","x"]`, "('a',)": `["a"]`, "[]": `[]`}, nil},
	"REMOTE_AUTH_DEFAULT_PERMISSIONS": {map[string]string{`{"dcim.view_site": null}`: `{"dcim.view_site":null}`, "{'a.b_c': None, 'd.e_f': {'g': True}}": `{"a.b_c":null,"d.e_f":{"g":true}}`, `{"a.b_c": [{"g": 1}, {}]}`: `{"a.b_c":[{"g":1},{}]}`}, nil},
	"CSRF_TRUSTED_ORIGINS":            {map[string]string{"https://a.example": `["https://a.example"]`, "https://*.a.example http://b:8080": `["https://*.a.example","http://b:8080"]`}, nil},
	"METRICS_ENABLED":                 truth,
	"SUPERUSER_NAME":                  {map[string]string{"root": `"root"`, "a.b-c_d+e@f.example": `"a.b-c_d+e@f.example"`}, nil},
	"SUPERUSER_API_TOKEN":             {map[string]string{"nbt_0123456789aB." + strings.Repeat("aZ09", 10): `"nbt_0123456789aB.` + strings.Repeat("aZ09", 10) + `"`}, nil},
	"SKIP_SUPERUSER":                  truth,
	"NETBOX_ROLE":                     {map[string]string{"web": `"web"`, "ALL": `"all"`}, regexp.MustCompile(`^(?i)(all|web|worker)$`)},
	"WEB_WORKERS":                     few, "WEB_THREADS": few, "RQ_WORKERS": few,
	"STARTUP_TIMEOUT": {map[string]string{"1": "1", "86400": "86400"}, nil},
}

// hostile values may be evaluated, crash a parser, or be mistaken for another type.
var hostile = []string{
	"__import__('os').system('touch /tmp/evil')", "[__import__('os').system('touch /tmp/evil')]", "{'a': open('/tmp/evil', 'w')}",
	"$(touch /tmp/evil)", "`touch /tmp/evil`", "{}}", "{'a': {1, 2}}", "{'a': {'b': b'x'}}", `{"a": {"b": NaN}}`, `{"a": {"b": 1e999}}`,
	`{"a": 0}`, `{"a": ["b"]}`, `{1: {}}`, `["\ud800"]`, "[1]", "['a', None]", "lambda: 0", "f'{1}'", "[x for x in 'a']", "none", "null", "()", "\xff",
	strings.Repeat("[", 100_000), strings.Repeat("(", 50_000) + strings.Repeat(")", 50_000), strings.Repeat(`{"a":`, 20_000), strings.Repeat("-", 50_000) + "1",
	strings.Repeat("9", 5_000), "1" + strings.Repeat("+1", 30_000), "0x10", "1_000", "\uff11\uff12", "-1", "1.5", "1e3", "0", "65536",
	"http://[", "[::1", "::1]", "a:b:c", "redis:6379", "redis://redis", "a/b", "a?b", "a#b", "a@b", "a b", "..", ".", "../../etc/passwd", "/etc/passwd",
	"Europe", "Mars/Olympus", "localtime", "tzdata.zi", "https://", "https://a/b", "ftp://a", "*.*", "a,,b", ",", "[]",
}

// TestWhateverATypedVariableHoldsItIsTakenOrNamed sets one variable to an arbitrary value
// and all others to valid ones.
func TestWhateverATypedVariableHoldsItIsTakenOrNamed(t *testing.T) {
	t.Parallel()
	rounds := 250
	if *soak {
		rounds = 5_000
	}
	type trial struct {
		seed  uint64
		round int
	}
	// These seeds have found faults.
	trials := []trial{{1795710588407300851, 29}, {1795710588407300851, 99}}
	chosen := campaign.Seed(t, *soak)
	for round := range rounds {
		trials = append(trials, trial{chosen, round})
	}
	a := askers(t, 1)[0]
	names := slices.Sorted(maps.Keys(typedVariables))
	began, taken := time.Now(), 0
	for _, trial := range trials {
		seed, round := trial.seed, trial.round
		r := rand.New(rand.NewPCG(seed, uint64(round)))
		q, want := question{Set: map[string][]byte{}}, map[string]string{}
		for _, name := range names {
			spellings := typedVariables[name].spellings
			spelling := slices.Sorted(maps.Keys(spellings))[r.IntN(len(spellings))]
			q.Set[name], want[name] = []byte(spelling), spellings[spelling]
		}
		victim := names[round%len(names)]
		value := randomText(r)
		if r.IntN(4) > 0 {
			value = hostile[r.IntN(len(hostile))]
		}
		q.Set[victim] = []byte(value)
		if value == "" && victim == "ALLOWED_HOST" {
			continue // required
		}
		delete(want, victim)
		complain := func(format string, args ...any) {
			t.Errorf("seed %d, round %d: %s=%s: %s", seed, round, victim, brief(value), fmt.Sprintf(format, args...))
		}
		reply, err := a.ask(q)
		switch accepts := typedVariables[victim].accepts; {
		case err != nil:
			t.Fatalf("seed %d, round %d: %s=%s: %v", seed, round, victim, brief(value), err)
		case reply.Code == 0:
			taken++
			if accepts != nil && value != "" && !accepts.MatchString(strings.TrimSpace(value)) {
				complain("it is taken")
			}
			for name, meaning := range want {
				if got, err := json.Marshal(reply.Typed[name]); err != nil || !same(string(got), meaning) {
					complain("%s=%q became %s, want %s", name, q.Set[name], got, meaning)
				}
			}
		default:
			if accepts != nil && accepts.MatchString(strings.TrimSpace(value)) {
				complain("it is refused: %s", reply.Said)
			}
			if line := strings.TrimSuffix(reply.Said, "\n"); reply.Code != 1 || !strings.HasPrefix(line, "[netbox] configuration: "+victim+" must be ") || strings.Contains(line, "\n") || len(line) > 400 {
				complain("status %d, want 1 and one line that names it: %.1500s", reply.Code, reply.Said)
			}
		}
	}
	if _, err := a.container.ReadFile("/tmp/evil"); err == nil {
		t.Errorf("seed %d: a value was evaluated", chosen)
	}
	t.Logf("%d trials in %.0f s, %d of the values were taken", len(trials), time.Since(began).Seconds(), taken)
}

// same reports whether two JSON texts have the same value.
func same(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// TestTheNameOfASentinelsServiceKeepsItsCase checks both Redis clients of NetBox.
func TestTheNameOfASentinelsServiceKeepsItsCase(t *testing.T) {
	t.Parallel()
	a := askers(t, 1)[0]
	r, err := a.ask(question{Set: map[string][]byte{
		"REDIS_SSL": []byte("false"), "REDIS_SENTINELS": []byte("one:26379, [fd00::1]:26380"), "REDIS_SENTINEL_SERVICE": []byte("My.Master-1"),
	}})
	if err != nil || r.Code != 0 {
		t.Fatalf("%v, status %d: %s", err, r.Code, r.Said)
	}
	if got := fmt.Sprint(r.Typed["REDIS_SENTINEL_SERVICE"], r.Typed["REDIS_SENTINELS"]); got != "[My.Master-1 My.Master-1] [[one 26379] [fd00::1 26380]]" {
		t.Errorf("NetBox has %s", got)
	}
}

// TestTextsReachNetBoxThroughWholeStarts starts a container for each sample and reads the
// values in a new process there.
func TestTextsReachNetBoxThroughWholeStarts(t *testing.T) {
	t.Parallel()
	starts := 2
	if *soak {
		starts = 60
	}
	seed := campaign.Seed(t, *soak)
	w := newWorld(t)
	for i := range starts {
		q := randomQuestion(rand.New(rand.NewPCG(seed, uint64(i))))
		if i == 0 { // the longest value on Linux
			delete(q.Files, "DB_PASSWORD")
			q.Set["DB_PASSWORD"] = []byte(strings.Repeat("'\"$ ", 1<<17/4)[:1<<17-len("DB_PASSWORD=")-1])
		}
		spec := engine.Container{
			Name: fmt.Sprintf("start-%d", i), Image: machine.image, Env: maps.Clone(least),
			Mounts: []engine.Mount{{Path: "/config", Host: t.TempDir()}},
			Files: []engine.File{
				{Path: "/roundtrip.py", Mode: 0o755, Content: roundtrip},
				{Path: "/custom-cont-init.d/roundtrip", Mode: 0o755, Content: []byte("exec s6-setuidgid abc /lsiopy/bin/python3 -P /roundtrip.py once /config/answer\n")},
			},
		}
		for name, value := range q.Set {
			spec.Env[name] = string(value)
		}
		for name, content := range q.Files {
			spec.Env["FILE__"+name] = "/values/" + name
			spec.Files = append(spec.Files, engine.File{Path: "/values/" + name, Mode: 0o400, Content: content})
		}
		c := w.start(spec)
		waitFor(t, c, "[custom-init] roundtrip: exited 0", 1, patience)
		text, err := os.ReadFile(filepath.Join(spec.Mounts[0].Host, "answer"))
		if err != nil {
			t.Fatal(err)
		}
		var r reply
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
		if wrong := q.difference(r); wrong != "" {
			t.Errorf("seed %d, start %d: %s", seed, i, wrong)
		}
		if err := c.Kill(); err != nil {
			t.Error(err)
		}
		w.ended(c)
	}
}
