package life

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"golang.org/x/sync/errgroup"
	"maps"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
	"github.com/linuxserver/docker-netbox/tests/campaign"
	"github.com/linuxserver/docker-netbox/tests/need"
)

//go:embed testdata/roundtrip.py
var roundtrip []byte

// texts lists the variables that accept any text, with NetBox's value when they are empty.
// The two keys are generated then.
var texts = map[string]string{
	"SUPERUSER_EMAIL":      "",
	"SUPERUSER_PASSWORD":   "",
	"DB_NAME":              "netbox",
	"DB_USER":              "", // required
	"DB_PASSWORD":          "",
	"REDIS_USERNAME":       "",
	"REDIS_PASSWORD":       "",
	"REDIS_SSL_CA":         "",
	"REDIS_CACHE_USERNAME": "",
	"REDIS_CACHE_PASSWORD": "",
	"REMOTE_AUTH_BACKEND":  "netbox.authentication.RemoteUserBackend",
	"REMOTE_AUTH_HEADER":   "HTTP_REMOTE_USER",
	"SECRET_KEY":           "",
	"API_TOKEN_PEPPER":     "",
}

// keyLength is the minimum length of a key in NetBox.
const keyLength = 50

func isKey(variable string) bool { return variable == "SECRET_KEY" || variable == "API_TOKEN_PEPPER" }

// question is one round: values by variable, set directly or by a file that FILE__ names.
type question struct {
	Set   map[string][]byte `json:"set,omitempty"`
	Files map[string][]byte `json:"files,omitempty"`
	// Settings requests all settings of NetBox and nothing else.
	Settings bool `json:"settings,omitempty"`
}

// reply is the image's result for a question.
type reply struct {
	Code  int               // exit status of the configuration check; -1 for a traceback
	Said  string            // output of the check and of with-contenv
	Log   string            // output of init-envfile
	Texts map[string][]byte // NetBox's settings by the variable that sets them
	Typed map[string]any
	Named map[string]any // settings by NetBox's names
}

// asker is a container of the real image that answers questions.
type asker struct {
	container *local.Container
	config    string // its /config
	conn      net.Conn
	answers   *bufio.Reader
}

// least has the variables that every round sets, so that each value affects a setting.
var least = map[string]string{"ALLOWED_HOST": host, "DB_USER": "the user", "REDIS_SSL": "true"}

// newAsker starts an asker in a pod. Its start pauses where the base runs the scripts of
// /custom-cont-init.d: after the configuration check, before NetBox.
func newAsker(ctx context.Context, pod *local.Pod, config string, port int) (*asker, error) {
	c, err := pod.Start(ctx, engine.Container{
		Name: fmt.Sprintf("asker-%d", port), Image: machine.image, Env: least,
		Mounts: []engine.Mount{{Path: "/config", Host: config}},
		Files: []engine.File{
			{Path: "/roundtrip.py", Mode: 0o755, Content: roundtrip},
			{Path: "/custom-cont-init.d/roundtrip", Mode: 0o755, Content: fmt.Appendf(nil, "exec /lsiopy/bin/python3 -P /roundtrip.py serve %d\n", port)},
		},
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		conn, err := pod.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return &asker{c, config, conn, bufio.NewReader(conn)}, nil
		}
		select {
		case <-c.Done():
			return nil, fmt.Errorf("the container ended: %s", said(c))
		case <-ctx.Done():
			return nil, fmt.Errorf("the container does not listen: %w: %s", err, said(c))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// ask sends one question and returns the reply.
func (a *asker) ask(q question) (reply, error) {
	text, err := json.Marshal(q)
	if err != nil {
		return reply{}, err
	}
	if err := a.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return reply{}, err
	}
	if _, err := a.conn.Write(append(text, '\n')); err != nil {
		return reply{}, err
	}
	line, err := a.answers.ReadBytes('\n')
	if err != nil {
		return reply{}, fmt.Errorf("%w: %s", err, said(a.container))
	}
	var r reply
	if err := json.Unmarshal(line, &r); err != nil {
		return reply{}, fmt.Errorf("%w: %.300s", err, line)
	}
	return r, nil
}

// askers starts n askers, which are stopped when the test ends.
func askers(t testing.TB, n int) []*asker {
	t.Helper()
	need.Root(t, "booting containers")
	machine.once.Do(func() { makeMachine(t) })
	if !machine.ready {
		t.Fatal("the image or the services could not be made: see the first test that failed")
	}
	pod, err := machine.engine.NewPod(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pod.Close(); err != nil {
			t.Error(err)
		}
	})
	all := make([]*asker, n)
	g, ctx := errgroup.WithContext(t.Context())
	for i := range all {
		config := t.TempDir()
		g.Go(func() (err error) {
			all[i], err = newAsker(ctx, pod, config, 9000+i)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return all
}

// FuzzTextReachesNetBoxUnchanged sends one value to every variable that accepts any text. A
// value that no variable can hold must be reported.
func FuzzTextReachesNetBoxUnchanged(f *testing.F) {
	for _, value := range []string{
		"", " ", "\n", "\r", "\n\n", "\r\n", "none", "\xff", "a\x00b", "'", `"`, "|", "&", `\1`, `\`, "$HOME", "$(id)", "`id`",
		"*", "#", "%s%(x)s%%", "{{ x }}", "{}}", "é漢🦆", "\u202e", "__import__('os').system('id')", "../../etc/passwd",
		strings.Repeat("x", longest), strings.Repeat("x", 10*longest), strings.Repeat("'\"$\\\n", keyLength),
	} {
		f.Add(value, true)
		if inVariable(value) {
			f.Add(value, false)
		}
	}
	a := askers(f, 1)[0]
	f.Fuzz(func(t *testing.T, value string, byFile bool) {
		if !byFile && !inVariable(value) {
			t.Skip("no process is handed such a variable")
		}
		q := question{Set: map[string][]byte{}, Files: map[string][]byte{}}
		for variable := range texts {
			if byFile {
				q.Files[variable] = []byte(value)
			} else {
				q.Set[variable] = []byte(value)
			}
		}
		if len(value) > longest { // Linux passes no process a variable of this length
			if r, err := a.ask(q); err != nil || r.Code != 126 || !strings.Contains(r.Said, "Argument list too long") {
				t.Fatalf("%s: status %d, %v, want 126 and that the list is too long: %s", q, r.Code, err, r.Said)
			}
			return
		}
		if refused := q.refused(); len(refused) > 0 {
			a.refuses(t, q, refused)
			return
		}
		wrong, err := a.wrong(q)
		if err != nil {
			t.Fatal(err)
		}
		if wrong != "" {
			small, why := a.shrink(q, wrong)
			t.Fatalf("%s; smallest case: %s", why, small)
		}
	})
}

// inVariable reports whether Linux can pass the value to a process in a variable.
func inVariable(value string) bool { return !strings.Contains(value, "\x00") && len(value) <= longest }

// refused returns the variables whose values are not text, or are too short for a key.
func (q question) refused() (variables []string) {
	for variable := range texts {
		value := q.given(variable)
		switch {
		case !utf8.ValidString(value), isKey(variable) && value != "" && utf8.RuneCountInString(value) < keyLength,
			variable == "DB_USER" && value == "":
			variables = append(variables, variable)
		}
	}
	slices.Sort(variables)
	return variables
}

// refuses checks that the container fails with exactly one line for each of the variables.
func (a *asker) refuses(t *testing.T, q question, variables []string) {
	t.Helper()
	r, err := a.ask(q)
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for line := range strings.Lines(r.Said) {
		variable, found := strings.CutPrefix(line, "[netbox] configuration: ")
		if variable, _, ok := strings.Cut(variable, " "); ok && found {
			named = append(named, variable)
		} else {
			t.Errorf("%s: it says %q", q, line)
		}
	}
	slices.Sort(named)
	if r.Code != 1 || !slices.Equal(named, variables) {
		t.Errorf("%s: status %d, the lines name %q, want 1 and %q", q, r.Code, named, variables)
	}
}

// TestTenThousandTextsReachNetBoxUnchanged sets every variable that accepts any text to a
// random value in each round, directly or by a file, and compares it with NetBox's
// settings.
func TestTenThousandTextsReachNetBoxUnchanged(t *testing.T) {
	t.Parallel()
	const values = 10_000
	seed := campaign.Seed(t, *soak)
	rounds := make(chan int)
	var sent atomic.Int64
	g, ctx := errgroup.WithContext(t.Context())
	all := askers(t, runtime.NumCPU())
	began := time.Now()
	g.Go(func() error {
		defer close(rounds)
		for round := range (values + len(texts) - 1) / len(texts) {
			select {
			case rounds <- round:
			case <-ctx.Done():
				return nil
			}
		}
		return nil
	})
	for _, a := range all {
		g.Go(func() error {
			for round := range rounds {
				q := randomQuestion(rand.New(rand.NewPCG(seed, uint64(round))))
				wrong, err := a.wrong(q)
				if err != nil {
					return fmt.Errorf("seed %d, round %d: %w", seed, round, err)
				}
				if wrong != "" {
					small, wrong := a.shrink(q, wrong)
					return fmt.Errorf("seed %d, round %d: %s; smallest case: %s", seed, round, wrong, small)
				}
				sent.Add(int64(len(q.Set) + len(q.Files)))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("seed %d: %d values in %.0f s, %.0f a second", seed, sent.Load(), took.Seconds(), float64(sent.Load())/took.Seconds())
}

// alphabets are the characters of random values: special characters of shells, sed, SQL,
// JSON, URLs and templates, and other scripts.
var alphabets = []string{
	"'\"\\|&/$ *#%{}[]()`!~^;<>?=+-_.,:@\n\r\t",
	"\n", "\r\n", "'\"", "\\", " ", "$(){}`", "%s%(x)d{{}}",
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
	"äßéñ漢字🦆\u202e\u00a0\u0301\ufeff\x01\x1b\x7f\U0010ffff",
}

// longest is the longest value tested: with its name it fits into a variable on Linux.
const longest = 120_000

func randomText(r *rand.Rand) string {
	length := r.IntN(60)
	switch r.IntN(200) {
	case 0:
		length = longest / 4
	case 1, 2, 3, 4, 5, 6, 7, 8, 9:
		return ""
	}
	var b strings.Builder
	letters := []rune(alphabets[r.IntN(len(alphabets))])
	mixed := r.IntN(2) == 0
	for range length {
		if mixed {
			letters = []rune(alphabets[r.IntN(len(alphabets))])
		}
		b.WriteRune(letters[r.IntN(len(letters))])
	}
	return b.String()
}

func randomQuestion(r *rand.Rand) question {
	q := question{Set: map[string][]byte{}, Files: map[string][]byte{}}
	for _, variable := range slices.Sorted(maps.Keys(texts)) {
		value := randomText(r)
		if isKey(variable) && value != "" {
			value += strings.Repeat("ß", keyLength)
		}
		if variable == "DB_USER" { // must not be empty
			value += "ß"
		}
		if r.IntN(2) == 0 {
			q.Set[variable] = []byte(value)
		} else {
			q.Files[variable] = []byte(value + []string{"", "\n", "\r\n"}[r.IntN(3)])
		}
	}
	return q
}

// given returns the value of a variable after init-envfile has run.
func (q question) given(variable string) string {
	content, byFile := q.Files[variable]
	if !byFile {
		if value, given := q.Set[variable]; given {
			return string(value)
		}
		return least[variable]
	}
	value, newline := strings.CutSuffix(strings.ReplaceAll(string(content), "\x00", "\n"), "\n") // s6 replaces NUL with a newline
	if newline {
		value = strings.TrimSuffix(value, "\r")
	}
	return value
}

// want returns the expected setting; known is false for generated keys.
func (q question) want(variable string) (value string, known bool) {
	if value := q.given(variable); value != "" {
		return value, true
	}
	if suffix, cache := strings.CutPrefix(variable, "REDIS_CACHE_"); cache {
		return q.want("REDIS_" + suffix)
	}
	return texts[variable], !isKey(variable)
}

// wrong returns the first difference between the expected and the actual result; empty when
// there is none.
func (a *asker) wrong(q question) (string, error) {
	r, err := a.ask(q)
	if err != nil {
		return "", err
	}
	return q.difference(r), nil
}

func (q question) difference(r reply) string {
	if r.Code != 0 {
		return fmt.Sprintf("status %d: %s", r.Code, r.Said)
	}
	for _, variable := range slices.Sorted(maps.Keys(texts)) {
		got, given := r.Texts[variable]
		if want, known := q.want(variable); !given || known && string(got) != want {
			return fmt.Sprintf("%s: want %s, NetBox has %s", variable, brief(want), brief(string(got)))
		}
	}
	return ""
}

// brief quotes a value in one line, shortened if long.
func brief(value string) string {
	if len(value) <= 300 {
		return strconv.Quote(value)
	}
	return fmt.Sprintf("%q... of %d bytes", value[:300], len(value))
}
