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

// push makes a mod of layers of files and gives its reference in a registry on
// loopback.
func push(t *testing.T, host, ref string, layers ...map[string]string) string {
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
	tag, err := name.ParseReference(host + "/" + ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, img); err != nil {
		t.Fatal(err)
	}
	return tag.String()
}

func aRegistry(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
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
	host, root := aRegistry(t), aRoot(t)
	var out strings.Builder
	h := hook{root: root, log: &out, mods: " " +
		push(t, host, "one:v1", map[string]string{"bin/tool": "one", "etc/shared": "one"}) + " | " +
		push(t, host, "two:v1", map[string]string{"etc/shared": "two"}) + "|"}
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
	host, root := aRegistry(t), aRoot(t)
	var out strings.Builder
	h := hook{root: root, log: &out, mods: push(t, host, "mod:v1", map[string]string{"etc/mod": "first"})}
	h.run(t.Context())
	if err := os.WriteFile(filepath.Join(root, "etc/mod"), []byte("edited by the user"), 0o644); err != nil {
		t.Fatal(err)
	}
	h.run(t.Context())
	if got := content(t, root, "etc/mod"); got != "edited by the user" {
		t.Errorf("the same mod was applied again: %q", got)
	}
	push(t, host, "mod:v1", map[string]string{"etc/mod": "second"})
	h.run(t.Context())
	if got := content(t, root, "etc/mod"); got != "second" {
		t.Errorf("the new version was not applied: %q\n%s", got, &out)
	}
}

func TestALaterLayerTakesAwayWhatAnEarlierOneBrought(t *testing.T) {
	host, root := aRegistry(t), aRoot(t)
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/of-the-image"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	ref := push(t, host, "mod:v1", map[string]string{"etc/goes": "x", "etc/stays": "x"}, map[string]string{"etc/.wh.goes": "", "etc/.wh.of-the-image": ""})
	h := hook{root: root, log: io.Discard, mods: ref}
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
	host, root := aRegistry(t), aRoot(t)
	var out strings.Builder
	h := hook{root: root, log: &out, mods: host + "/none:v1|UPPER:|" + push(t, host, "mod:v1", map[string]string{"etc/mod": "here"})}
	if err := h.run(t.Context()); err != nil {
		t.Error(err)
	}
	if got := content(t, root, "etc/mod"); got != "here" {
		t.Errorf("mod is %q", got)
	}
	for _, want := range []string{host + "/none:v1: not applied: fetching it: ", "UPPER:: not applied: "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

func TestARegistryElsewhereMustSpeakTLS(t *testing.T) {
	for address, refused := range map[string]bool{
		"http://127.0.0.1:5000/v2/":  false,
		"http://[::1]:5000/v2/":      false,
		"http://localhost:5000/v2/":  false,
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

	if err := os.Remove(script); err != nil {
		t.Fatal(err)
	}
	h.run(t.Context())
	for _, path := range []string{dir, filepath.Join(root, services, "user/contents.d/custom-svc-mine")} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s outlived its script", path)
		}
	}
}

// roundTripper answers nothing and tells that it was asked.
type roundTripper func()

func (r roundTripper) RoundTrip(*http.Request) (*http.Response, error) {
	r()
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}
