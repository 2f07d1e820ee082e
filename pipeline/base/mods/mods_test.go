package main

import (
	"archive/tar"
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// store is a registry on loopback, which speaks TLS.
type store struct {
	host      string
	transport http.RoundTripper
}

// push uploads a mod made of layers of files and returns its reference.
func (s store) push(t *testing.T, ref string, layers ...map[string]string) string {
	t.Helper()
	img := empty.Image
	for _, files := range layers {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		for path, content := range files {
			w.WriteHeader(&tar.Header{Name: path, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg})
			io.WriteString(w, content)
		}
		w.Close()
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			t.Fatal(err)
		}
	}
	tag, err := name.ParseReference(s.host + "/" + ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, img, remote.WithTransport(s.transport)); err != nil {
		t.Fatal(err)
	}
	return tag.String()
}

func aRegistry(t *testing.T) store {
	t.Helper()
	s := httptest.NewTLSServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	return store{strings.TrimPrefix(s.URL, "https://"), s.Client().Transport}
}

// aRoot is a root file system whose /bin is a link, as Debian's is.
func aRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "usr/bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("usr/bin", filepath.Join(root, "bin")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, services, "user/contents.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

func content(t *testing.T, elem ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

func TestModsAreLaidOverTheRootInTheirOrder(t *testing.T) {
	mods, root := aRegistry(t), aRoot(t)
	var out strings.Builder
	h := hook{root: root, log: &out, transport: mods.transport, mods: " " +
		mods.push(t, "one:v1", map[string]string{"bin/tool": "one", "etc/shared": "one"}) + " | " +
		mods.push(t, "two:v1", map[string]string{"etc/shared": "two"}) + "|"}
	if err := h.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := content(t, root, "usr/bin/tool"); got != "one" {
		t.Errorf("tool is %q", got)
	}
	if got := content(t, root, "etc/shared"); got != "two" {
		t.Errorf("shared is %q: the later mod wins", got)
	}
	if info, err := os.Lstat(filepath.Join(root, "bin")); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link /bin became %v, %v", info.Mode(), err)
	}
	if got := strings.Count(out.String(), ": applied, sha256:"); got != 2 {
		t.Errorf("the log says\n%s", &out)
	}
}

func TestARestartAppliesOnlyWhatChanged(t *testing.T) {
	mods, root := aRegistry(t), aRoot(t)
	var out strings.Builder
	h := hook{root: root, log: &out, transport: mods.transport, mods: mods.push(t, "mod:v1", map[string]string{"etc/mod": "first"})}
	h.run(t.Context())
	if err := os.WriteFile(filepath.Join(root, "etc/mod"), []byte("edited by the user"), 0o644); err != nil {
		t.Fatal(err)
	}
	h.run(t.Context())
	if got := content(t, root, "etc/mod"); got != "edited by the user" {
		t.Errorf("the same mod was applied again: %q", got)
	}
	mods.push(t, "mod:v1", map[string]string{"etc/mod": "second"})
	h.run(t.Context())
	if got := content(t, root, "etc/mod"); got != "second" {
		t.Errorf("the new version was not applied: %q\n%s", got, &out)
	}
}

func TestALaterLayerTakesAwayWhatAnEarlierOneBrought(t *testing.T) {
	mods, root := aRegistry(t), aRoot(t)
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/of-the-image"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	ref := mods.push(t, "mod:v1", map[string]string{"etc/goes": "x", "etc/stays": "x"}, map[string]string{"etc/.wh.goes": "", "etc/.wh.of-the-image": ""})
	h := hook{root: root, log: io.Discard, transport: mods.transport, mods: ref}
	h.run(t.Context())
	for name, there := range map[string]bool{"goes": false, "stays": true, "of-the-image": true, ".wh.goes": false} {
		if _, err := os.Stat(filepath.Join(root, "etc", name)); (err == nil) != there {
			t.Errorf("%s: %v, want it there: %t", name, err, there)
		}
	}
}

func TestScriptsThatOthersCanChangeAreNamed(t *testing.T) {
	root := aRoot(t)
	var out strings.Builder
	for name, mode := range map[string]os.FileMode{"custom-cont-init.d/open": 0o777, "custom-cont-init.d/closed": 0o755, "custom-services.d/open": 0o775} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Lchown(filepath.Join(root, "custom-cont-init.d/closed"), os.Getuid(), os.Getgid()); err != nil {
		t.Fatal(err)
	}
	if err := (hook{root: root, log: &out}).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, named := range map[string]bool{"/custom-cont-init.d/open": true, "/custom-services.d/open": true, "/custom-cont-init.d/closed": os.Getuid() != 0} {
		if got := strings.Contains(out.String(), "[custom-init] "+name+": runs as root, but others can change it"); got != named {
			t.Errorf("%s is named: %t, want %t", name, got, named)
		}
	}
}

func TestAMissingModIsReportedAndPassedOver(t *testing.T) {
	mods, root := aRegistry(t), aRoot(t)
	var out strings.Builder
	h := hook{root: root, log: &out, transport: mods.transport, mods: mods.host + "/none:v1|UPPER:|" + mods.push(t, "mod:v1", map[string]string{"etc/mod": "here"})}
	if err := h.run(t.Context()); err != nil {
		t.Error(err)
	}
	if got := content(t, root, "etc/mod"); got != "here" {
		t.Errorf("mod is %q", got)
	}
	for _, want := range []string{mods.host + "/none:v1: not applied: fetching it: ", "UPPER:: not applied: "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

func TestARegistryThatSpeaksNoTLSIsNamed(t *testing.T) {
	plain := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer plain.Close()
	var out strings.Builder
	ref := strings.TrimPrefix(plain.URL, "http://") + "/mod:v1"
	if err := (hook{root: aRoot(t), log: &out, transport: http.DefaultTransport, mods: ref}).run(t.Context()); err != nil {
		t.Error(err)
	}
	if want := "[mod-init] " + ref + ": not applied: fetching it: "; !strings.HasPrefix(out.String(), want) || !strings.Contains(out.String(), "does not speak TLS") || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("want one line that begins with %q and speaks of TLS, got %q", want, &out)
	}
}

func TestARegistryMustSpeakTLS(t *testing.T) {
	for address, refused := range map[string]bool{
		"http://127.0.0.1:5000/v2/":  true,
		"http://localhost:5000/v2/":  true,
		"http://10.0.0.1:5000/v2/":   true,
		"http://registry.local/v2/":  true,
		"https://registry.local/v2/": false,
	} {
		var asked bool
		_, err := guarded{roundTripper(func() { asked = true })}.RoundTrip(httptest.NewRequest("GET", address, nil))
		if (err != nil) != refused || asked == refused {
			t.Errorf("%s: error %v, asked %v", address, err, asked)
		}
	}
}

func TestCustomServicesFollowTheirFiles(t *testing.T) {
	root := aRoot(t)
	var out strings.Builder
	h := hook{root: root, log: &out}
	if err := h.run(t.Context()); err != nil || out.Len() > 0 {
		t.Errorf("with nothing to do: %v, %q", err, &out)
	}
	if err := os.MkdirAll(filepath.Join(root, "custom-services.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(root, "custom-services.d/mine")
	if err := os.WriteFile(script, []byte("#!/bin/bash\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	h.run(t.Context())
	dir := filepath.Join(root, services, "custom-svc-mine")
	if info, err := os.Stat(filepath.Join(dir, "run")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("run: %v, %v", info, err)
	}
	if got := content(t, dir, "type"); got != "longrun\n" {
		t.Errorf("type is %q", got)
	}
	content(t, dir, "dependencies.d/init-services")
	content(t, root, services, "user/contents.d/custom-svc-mine")
	// The words of the published base.
	if want := "[custom-init] Service files found in /custom-services.d\n[custom-init] mine: service detected, copying...\n[custom-init] mine: copied\n"; out.String() != want && !strings.HasSuffix(out.String(), want) {
		t.Errorf("it says %q, want %q", &out, want)
	}
	out.Reset()

	if err := os.Remove(script); err != nil {
		t.Fatal(err)
	}
	h.run(t.Context())
	for _, path := range []string{dir, filepath.Join(root, services, "user/contents.d/custom-svc-mine")} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s outlived its script", path)
		}
	}
	if want := "[custom-init] removing existing custom services...\n[custom-init] No custom services found, skipping...\n"; out.String() != want {
		t.Errorf("it says %q, want %q", &out, want)
	}
}

func TestAnotherUserThanRootHasNeitherModsNorServices(t *testing.T) {
	root := aRoot(t)
	for _, dir := range []string{environment, "custom-services.d"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "custom-services.d/mine"), []byte("#!/bin/bash\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := (hook{root: root, user: 1000, log: &out, mods: "example.com/mod"}).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := "[mod-init] running as user 1000: docker mods and custom services are off, PUID and PGID have no effect\n"; out.String() != want {
		t.Errorf("it says %q, want %q", &out, want)
	}
	if got := content(t, root, environment, "LSIO_NON_ROOT_USER"); got != "1" {
		t.Errorf("services see LSIO_NON_ROOT_USER=%q", got)
	}
	if _, err := os.Stat(filepath.Join(root, services, "custom-svc-mine")); err == nil {
		t.Error("there is a service")
	}
	if err := (hook{root: aRoot(t), user: 1000, log: &out}).run(t.Context()); err != nil {
		t.Errorf("with S6_KEEP_ENV: %v", err)
	}
}

// roundTripper answers nothing and reports that it was asked.
type roundTripper func()

func (r roundTripper) RoundTrip(*http.Request) (*http.Response, error) {
	r()
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}
