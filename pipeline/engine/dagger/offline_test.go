package dagger_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "dagger.io/dagger"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/dagger"
	"github.com/linuxserver/docker-netbox/pipeline/engine/dagger/record"
	"github.com/linuxserver/docker-netbox/pipeline/engine/enginetest"
)

// transport replaces the connection to an engine. It stores every query and answers it
// by its last field. That tests what is requested. What an engine does with a request
// is tested with an engine (TestContract).
type transport struct {
	t               *testing.T
	answer          func(path []string, query string) (any, error)
	ownCertificates bool // the engine has its own certificates

	mu      sync.Mutex
	queries []string
	ids     map[string]string // the query of each returned ID
}

func (*transport) Host() string { return "offline" }
func (*transport) Close() error { return nil }

func (f *transport) Do(r *http.Request) (*http.Response, error) {
	var request struct{ Query string }
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		return nil, err
	}
	request.Query = strings.ReplaceAll(request.Query, ", ", ",")
	path := fieldPath(request.Query)
	f.mu.Lock()
	f.queries = append(f.queries, request.Query)
	id := fmt.Sprintf("id-%d", len(f.queries))
	f.ids[id] = request.Query
	f.mu.Unlock()
	var value any = id
	var err error
	if last := path[len(path)-1]; !slices.Contains([]string{"id", "start", "stop", "sync"}, last) { // these return objects
		value, err = f.answer(path, f.expand(request.Query))
	}
	reply := map[string]any{}
	if err != nil {
		reply["errors"] = []any{map[string]any{"message": err.Error(), "extensions": map[string]any{
			"_type": "EXEC_ERROR", "cmd": []string{"/bin/sh", "-c", "make all"}, "exitCode": 2, "stdout": "making\n", "stderr": "no rule\n"}}}
	} else {
		data := value
		for _, field := range slices.Backward(path) {
			data = map[string]any{field: data}
		}
		reply["data"] = data
	}
	body, err := json.Marshal(reply)
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, err
}

// expand replaces each ID with its query.
func (f *transport) expand(query string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range 20 {
		next := regexp.MustCompile(`"(id-\d+)"`).ReplaceAllStringFunc(query, func(id string) string { return "«" + f.ids[strings.Trim(id, `"`)] + "»" })
		if next == query {
			break
		}
		query = next
	}
	return query
}

// matching returns the expanded queries that contain all the words.
func (f *transport) matching(words ...string) []string {
	f.mu.Lock()
	queries := slices.Clone(f.queries)
	f.mu.Unlock()
	var found []string
	for _, q := range queries {
		q = f.expand(q)
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(q, w) }) {
			found = append(found, q)
		}
	}
	return found
}

// fieldPath returns the fields of a query with one leaf, without arguments.
func fieldPath(query string) []string {
	query = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`).ReplaceAllString(query, "")
	query = regexp.MustCompile(`\.\.\. on \w+`).ReplaceAllString(query, "")
	for strings.Contains(query, "(") {
		query = regexp.MustCompile(`\([^()]*\)`).ReplaceAllString(query, "")
	}
	return regexp.MustCompile(`[A-Za-z_]\w*`).FindAllString(query, -1)[2:] // after "query Query"
}

var amd64 = v1.Platform{OS: "linux", Architecture: "amd64"}

// offline returns an engine that is connected to a transport.
func offline(t *testing.T, answer func(path []string, query string) (any, error), environ ...string) (*dagger.Engine, *transport) {
	t.Helper()
	f := &transport{t: t, ids: map[string]string{}}
	f.answer = func(path []string, query string) (any, error) {
		switch path[len(path)-1] {
		case "version":
			return "v0.21.8", nil
		case "defaultPlatform", "platform":
			return "linux/amd64", nil
		case "exitCode":
			if strings.Contains(query, `"trusted"`) && !f.ownCertificates {
				return 1, nil
			}
			if strings.Contains(query, `"trusted"`) {
				return 0, nil
			}
		}
		return answer(path, query)
	}
	e, err := dagger.New(t.Context(), dagger.Options{
		Repo: "../../..", QEMUCPU: map[string]string{"arm64": "cortex-a72"},
		Environ: append([]string{"PIP_INDEX_URL=https://packages.test/simple", "HTTPS_PROXY=http://proxy.test", "HTTP_PROXY=http://me:hunter2@proxy.test"}, environ...),
		Connect: func(ctx context.Context, _ io.Writer, _ ...sdk.ClientOpt) (*sdk.Client, error) {
			return sdk.Connect(ctx, sdk.WithConn(f))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e, f
}

// want checks that exactly one query contains all the words.
func (f *transport) want(words ...string) {
	f.t.Helper()
	if found := f.matching(words...); len(found) != 1 {
		var most []string // the words in the query that contains most of them
		for _, q := range f.matching() {
			held := slices.DeleteFunc(slices.Clone(words), func(w string) bool { return !strings.Contains(q, w) })
			if len(held) > len(most) {
				most = held
			}
		}
		f.t.Errorf("%d queries hold %q, want one; the nearest holds only %q", len(found), words, most)
	}
}

func TestABuildRequestIsComplete(t *testing.T) {
	arm64 := v1.Platform{OS: "linux", Architecture: "arm64"}
	built, err := engine.ImageFor(enginetest.Base(t, arm64), arm64)
	if err != nil {
		t.Fatal(err)
	}
	e, f := offline(t, exporting(t, built))
	dir := t.TempDir()
	for name, text := range map[string]string{"Dockerfile.aarch64": "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n", ".dockerignore": "*\n!root\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	img, err := e.Build(t.Context(), engine.BuildRequest{
		Platform: arm64, Context: dir, Dockerfile: "Dockerfile.aarch64", Target: "wanted",
		Base: engine.Base{Reference: "registry.test/base:1"}, Args: map[string]string{"VERSION": "4.7.3", "EMPTY": ""},
		Epoch: time.Unix(1_700_000_000, 0), Log: &log,
	})
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Architecture != "arm64" || config.Created.Unix() != 1_700_000_000 {
		t.Errorf("got an image for %s of %s, want what was exported, normalised", config.Architecture, config.Created)
	}
	f.want(`args:["/.pipeline/rewrite","/.pipeline/image.tar","/image","0","1700000000"]`, "noInit:true", `directory(path:"/image"){export(`,
		`withMountedFile(`, "asTarball", "dockerBuild(", `dockerfile:"Dockerfile.aarch64"`, `platform:"linux/arm64"`, `target:"wanted"`,
		`{name:"VERSION",value:"4.7.3"}`, `{name:"QEMU_CPU",value:"cortex-a72"}`, `{name:"SOURCE_DATE_EPOCH",value:"1700000000"}`,
		`{name:"BASE_IMAGE",value:"registry.test/base:1"}`, `{name:"HTTPS_PROXY",value:"http://proxy.test"}`,
		`{name:"BUILDPLATFORM",value:"linux/amd64"}`, `{name:"BUILDARCH",value:"amd64"}`,
		`host{directory(`, `exclude:[".git","*","!root","!Dockerfile.aarch64","!.dockerignore"]`,
		`name:"pip-conf"`, "packages.test")
	if found := f.matching(`name:"EMPTY"`); len(found) > 0 {
		t.Errorf("Dagger refuses an argument without a value: %q", found)
	}
	if found := f.matching("hunter2"); len(found) > 0 || !strings.Contains(log.String(), "HTTP_PROXY is not passed on") {
		t.Errorf("a proxy's password is in %q, and the log says %q", found, log.String())
	}
	for _, q := range f.matching("dockerBuild(", "packages.test") {
		if strings.Contains(strings.ReplaceAll(q, "setSecret", ""), `value:"[global]`) {
			t.Error("pip's configuration travels otherwise than as a secret")
		}
	}
}

// An engine with its own certificates replaces the bundle before each exec, which fails
// if the bundle is a mount.
func TestThisMachinesCertificatesGoIntoABuildUnlessTheEngineHasItsOwn(t *testing.T) {
	built, err := engine.ImageFor(enginetest.Base(t, amd64), amd64)
	if err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	if err := os.WriteFile(bundle, []byte("certificates of this machine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		ownCertificates bool
		bundle          string
	}{{false, bundle}, {true, bundle}, {true, "/proc/self/mem"}} { // the last cannot be read
		e, f := offline(t, exporting(t, built), "SSL_CERT_FILE="+test.bundle)
		f.ownCertificates = test.ownCertificates
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Build(t.Context(), engine.BuildRequest{Platform: amd64, Context: dir, Dockerfile: "Dockerfile", Base: engine.Base{Reference: "base:1"}, Log: io.Discard}); err != nil {
			t.Fatal(err)
		}
		f.want("exitCode", `"/etc/debian_version"`, `args:["/.pipeline/shim","trusted","/usr/local/share/ca-certificates"]`, "noInit:true")
		// Every request has them, including the one that checks the Dockerfile: Dagger
		// builds again for each request that differs.
		want := len(f.matching("dockerBuild("))
		if test.ownCertificates {
			want = 0
		}
		if passed := len(f.matching("dockerBuild(", `name:"ca-certificates"`, "certificates of this machine")); passed != want {
			t.Errorf("the engine has its own certificates: %v; this machine's are passed on in %d requests, want %d", test.ownCertificates, passed, want)
		}
	}
}

func TestAFailedBuildIsReportedWithItsInstruction(t *testing.T) {
	e, _ := offline(t, func([]string, string) (any, error) { return nil, errors.New("exit code: 2 [traceparent:00-ab-cd-01]") })
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN --mount=type=cache,target=/c \\\n    # a remark\n    make \\\n    all\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := e.Build(t.Context(), engine.BuildRequest{Platform: amd64, Context: dir, Dockerfile: "Dockerfile", Base: engine.Base{Reference: "base:1"}, Log: io.Discard})
	if want := "build linux/amd64: Dockerfile:3: RUN make all: exit code: 2: no rule"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestARunRequestIsComplete(t *testing.T) {
	img, err := engine.ImageFor(enginetest.Base(t, amd64), amd64)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now().UnixNano()
	records := []record.Record{
		{Container: "netbox", Stream: "stderr", Kind: record.Started, Time: start},
		{Container: "netbox", Stream: "stdout", Time: start + 1e9, Text: "the password is swordfish"},
		{Container: "postgres", Stream: "stderr", Kind: record.Started, Time: start},
		{Container: "postgres", Stream: "stderr", Time: start + 2e9, Text: "ready to accept connections"},
		{Container: "netbox", Stream: "stdout", Kind: record.Closed, Time: start + 3e9},
		{Container: "netbox", Stream: "stderr", Kind: record.Closed, Time: start + 3e9},
	}
	e, f := offline(t, func(path []string, query string) (any, error) {
		switch path[len(path)-1] {
		case "endpoint":
			return "http://recorder.test:8080", nil
		case "entrypoint":
			return []string{"docker-entrypoint.sh"}, nil
		case "defaultArgs":
			return []string{"postgres"}, nil
		case "exitCode":
			return 3, nil
		case "exists":
			return true, nil
		case "export":
			file := regexp.MustCompile(`export\(path:"([^"]+)"`).FindStringSubmatch(query)[1]
			return file, os.WriteFile(file, []byte("brought back"), 0o600)
		case "contents":
			if !strings.Contains(query, "from=0&") {
				return "[]", nil
			}
			text, err := json.Marshal(records)
			return string(text), err
		}
		return nil, fmt.Errorf("unexpected: %s", query)
	})
	var mu sync.Mutex
	var got []string
	result, err := e.Run(t.Context(), engine.RunRequest{
		Timeout: time.Minute,
		Main: engine.Container{
			Name: "netbox", Image: img, Entrypoint: []string{"/init"}, Args: []string{"/probe", "-all"},
			Env: map[string]string{"S6_VERBOSITY": "2"}, Secrets: map[string]string{"DB_PASSWORD": "swordfish"},
			Files:   []engine.File{{Path: "/probe", Mode: 0o755, Content: []byte{0x7f, 'E', 'L', 'F'}, UID: 911, GID: 100}},
			Mounts:  []engine.Mount{{Path: "/run", Tmpfs: true}, {Path: "/config"}},
			Capture: []string{"/config/out"},
		},
		Sides: []engine.Container{{
			Name: "postgres", Reference: "registry.test/postgres:17",
			Secrets: map[string]string{"POSTGRES_PASSWORD": "swordfish"}, Ready: []string{"psql", "-c", "select 1"},
		}},
		OnLine: func(container string, l engine.Line) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, container+": "+l.Text)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.ExitCode != 3 || string(result.Files["/config/out"]) != "brought back" {
		t.Errorf("ended with %d and brought back %q", result.ExitCode, result.Files)
	}
	if want := []engine.Line{{At: time.Second, Stream: "stdout", Text: "the password is ***"}}; !slices.Equal(result.Lines, want) {
		t.Errorf("lines %v, want %v", result.Lines, want)
	}
	if !slices.Equal(got, []string{"netbox: the password is ***", "postgres: ready to accept connections"}) || len(result.SideLines["postgres"]) != 1 {
		t.Errorf("got %q, and of the side %v", got, result.SideLines)
	}

	shim := `"/.pipeline/shim","run","/.pipeline/pipes"`
	f.want("exitCode", `container(platform:"linux/amd64"){import(`, `withEnvVariable(`, `name:"S6_VERBOSITY"`, `value:"2"`,
		`withSecretVariable(`, `name:"DB_PASSWORD"`, `withMountedTemp(path:"/run")`, `withMountedCache(`,
		`withFile(`, `path:"/probe"`, `permissions:493`, `owner:"911:100"`, `withMountedFile(`, `path:"/.pipeline/shim"`,
		`withServiceBinding(`, `alias:"postgres"`,
		`withEntrypoint(args:[`+shim+`,"netbox","--","/init","/probe"])`,
		`withExec(`, `args:["-all"]`, "useEntrypoint:true", "noInit:true", "expect:ANY")
	f.want("){start}", `container(platform:"linux/amd64"){from(address:"registry.test/postgres:17")`, `withSecretVariable(`, `name:"POSTGRES_PASSWORD"`,
		`withDockerHealthcheck(`, `"/.pipeline/shim","ready","--","psql","-c","select 1"`,
		`asService(`, `args:[`+shim+`,"postgres","--","docker-entrypoint.sh","postgres"]`, "noInit:true")
	// Each exec decides separately whether its command is PID 1.
	for _, exec := range regexp.MustCompile(`(?:withExec|asService)\([^)]*\)`).FindAllString(strings.Join(f.matching(), "\n"), -1) {
		if !strings.Contains(exec, "noInit:true") {
			t.Errorf("%s runs beneath an init of Dagger's", exec)
		}
	}
	for _, q := range f.matching("swordfish") {
		if left := regexp.MustCompile(`setSecret\((?:name:"[^"]*"|plaintext:"swordfish"|,)*\)`).ReplaceAllString(q, ""); strings.Contains(left, "swordfish") {
			t.Errorf("the secret is in the open in %s", q)
		}
	}
	volumes := map[string]bool{}
	for _, q := range f.matching(`cacheVolume(`) {
		for _, m := range regexp.MustCompile(`cacheVolume\(key:"([^"]+)"`).FindAllStringSubmatch(q, -1) {
			volumes[m[1]] = true
		}
	}
	if len(volumes) != 1 {
		t.Errorf("a run has the volumes %v, want one that no other run has", volumes)
	}
}

func TestUnsupportedOptionsAreErrors(t *testing.T) {
	img, err := engine.ImageFor(enginetest.Base(t, amd64), amd64)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*engine.Container)
		want   string
	}{
		"a read-only root":        {func(c *engine.Container) { c.ReadOnly = true }, "read-only"},
		"another user":            {func(c *engine.Container) { c.User = "1000" }, "another user"},
		"fewer capabilities":      {func(c *engine.Container) { c.Capabilities = []string{} }, "fewer rights"},
		"no new privileges":       {func(c *engine.Container) { c.NoNewPrivileges = true }, "fewer rights"},
		"a directory of the host": {func(c *engine.Container) { c.Mounts = []engine.Mount{{Path: "/config", Host: "/srv"}} }, "/srv"},
		"a file on a tmpfs": {func(c *engine.Container) {
			c.Mounts, c.Capture = []engine.Mount{{Path: "/tmp", Tmpfs: true}}, []string{"/tmp/x"}
		}, "/tmp/x"},
		"no image": {func(c *engine.Container) { c.Image = nil }, "no image"},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := offline(t, func(path []string, query string) (any, error) {
				if path[len(path)-1] == "endpoint" {
					return "http://recorder.test:8080", nil
				}
				return "[]", nil
			})
			main := engine.Container{Name: "main", Image: img, Args: []string{"/bin/tiny"}}
			test.change(&main)
			_, err := e.Run(t.Context(), engine.RunRequest{Main: main, Timeout: time.Minute})
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "run main: container main: ") {
				t.Errorf("got %v, want one that says %q", err, test.want)
			}
		})
	}
}

func TestAnUnreachableEngineIsReportedOnOneLine(t *testing.T) {
	e, err := dagger.New(t.Context(), dagger.Options{Connect: func(context.Context, io.Writer, ...sdk.ClientOpt) (*sdk.Client, error) {
		return nil, errors.New("new client: failed to dial\nstderr:\nno such host")
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	err = e.Setup(t.Context(), io.Discard)
	if want := "connect to Dagger: new client: failed to dial stderr: no such host: start an engine of v0.21.8, or pass --engine local"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// archiveOf writes an image in the format of Dagger's asTarball.
func archiveOf(t *testing.T, img v1.Image, file string) error {
	t.Helper()
	dir := t.TempDir()
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	if err := l.AppendImage(img); err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	w := tar.NewWriter(f)
	return errors.Join(w.AddFS(os.DirFS(dir)), w.Close(), f.Close())
}

// exporting returns a function that answers a build's export with an image.
func exporting(t *testing.T, built v1.Image) func([]string, string) (any, error) {
	return func(path []string, query string) (any, error) {
		if path[len(path)-1] != "export" {
			return nil, fmt.Errorf("unexpected: %s", query)
		}
		file := regexp.MustCompile(`export\(path:"([^"]+)"`).FindStringSubmatch(query)[1]
		if strings.Contains(query, `directory(path:"/image")`) { // with rewritten layers
			l, err := layout.Write(file, empty.Index)
			if err != nil {
				return nil, err
			}
			return file, l.AppendImage(built)
		}
		return file, archiveOf(t, built, file)
	}
}
