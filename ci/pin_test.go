package main

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/registry/registrytest"
	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

func TestTheNewestNetBoxComesFromPip(t *testing.T) {
	if err := exec.Command("python3", "-m", "pip", "--version").Run(); err != nil {
		t.Skip("python3-pip is not installed")
	}
	p := newProject(t)
	text := p.good("release", "--dry-run", "--newest")
	if !strings.Contains(text, "upstream") {
		t.Errorf("it does not name upstream:\n%s", text)
	}
	pins := filepath.Join(p.repo, "versions.yml")
	old, err := os.ReadFile(pins)
	if err != nil {
		t.Fatal(err)
	}
	pinned := regexp.MustCompile(`(?m)^  release: .*$`).ReplaceAll(old, []byte("  release: 4.2.0"))
	if err := os.WriteFile(pins, pinned, 0o644); err != nil {
		t.Fatal(err)
	}
	plan, _ := p.plan("--newest")
	if release.Compare(plan.NetBox.Value, "4.7.3") < 0 || plan.Pin != plan.NetBox.Value {
		t.Errorf("NetBox %+v, to be pinned: %q", plan.NetBox, plan.Pin)
	}
}

func TestAFailedPinIsUndone(t *testing.T) {
	p := newProject(t)
	pins, lock := filepath.Join(p.repo, "versions.yml"), filepath.Join(p.repo, "build", "lock")
	old, err := os.ReadFile(pins)
	if err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := p.ci("pin"); code != failure.ExitUsage || !strings.Contains(stderr, "pass one of --netbox RELEASE") {
		t.Errorf("without a release: status %d, %s", code, stderr)
	}
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	if _, stderr, code := p.ci("pin", "--netbox", "99.0.0"); code != failure.ExitUsage || !strings.Contains(stderr, "pip install uv") {
		t.Errorf("without uv: status %d, %s", code, stderr)
	}
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	if err := os.WriteFile(filepath.Join(bin, "uv"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(lock), 0o755); err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(p.repo, "build", "requirements.txt")
	if err := os.WriteFile(list, []byte("locked\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for script, want := range map[string]int{"#!/bin/sh\necho half >\"$(dirname \"$0\")\"/requirements.txt; exit 1\n": failure.ExitCheck, "#!/bin/sh\nsed -n 's/^  release: //p' \"$(dirname \"$0\")\"/../versions.yml\n": 0} {
		if err := os.WriteFile(pins, old, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(lock, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		stdout, stderr, code := p.ci("pin", "--netbox", "99.0.0")
		now, err := os.ReadFile(pins)
		if err != nil {
			t.Fatal(err)
		}
		if changed := !bytes.Equal(now, old); code != want || changed != (want == 0) {
			t.Errorf("build/lock ends with %d: status %d, versions.yml changed: %v\n%s", want, code, changed, stderr)
		}
		if text, err := os.ReadFile(list); err != nil || string(text) != "locked\n" {
			t.Errorf("build/lock ends with %d: the locked list is %q, %v", want, text, err)
		}
		if want == 0 && (stdout != "versions.yml pins NetBox 99.0.0\n" || !strings.Contains(stderr, "99.0.0\n")) {
			t.Errorf("%q, %q", stdout, stderr)
		}
	}
}

// pinning is a copy of the files that name the base, and a registry with images.
type pinning struct {
	t          *testing.T
	repo, host string
}

func newPinning(t *testing.T) *pinning {
	t.Helper()
	p := &pinning{t: t, repo: documents(t), host: registrytest.Server(t)}
	for _, name := range []string{"versions.yml", "Dockerfile", "Dockerfile.aarch64", "pipeline/base/browser/Dockerfile", "docs/maintaining.md"} {
		text, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		text = regexp.MustCompile(`@sha256:[0-9a-f]{64}`).ReplaceAll(text, nil)
		text = regexp.MustCompile(`(ghcr.io/linuxserver/baseimage|docker.io/library/)`).ReplaceAll(text, []byte(p.host+"/$1"))
		p.write(name, strings.ReplaceAll(strings.ReplaceAll(string(text), "/ghcr.io/", "/"), "/docker.io/", "/"))
	}
	vars := strings.ReplaceAll(p.read("readme-vars.yml"), "ghcr.io/linuxserver/baseimage", p.host+"/linuxserver/baseimage")
	p.write("readme-vars.yml", vars)
	if err := os.CopyFS(filepath.Join(p.repo, "root"), os.DirFS("../root")); err != nil {
		t.Fatal(err)
	}
	if out, code := p.ci("readme", "--output", t.TempDir()); code != 0 {
		t.Fatal(out)
	}
	return p
}

func (p *pinning) read(name string) string {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.repo, name))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

func (p *pinning) write(name, text string) {
	p.t.Helper()
	writeIn(p.t, p.repo, name, text)
}

// files returns all files of the repository.
func (p *pinning) files() map[string]string {
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(p.repo), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files[name] = p.read(name)
		}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return files
}

func (p *pinning) ci(args ...string) (out string, code int) {
	p.t.Helper()
	stdout, stderr, code := invoke(p.t, p.t.Context(), append(args, "--repo", p.repo)...)
	return stdout + stderr, code
}

// push pushes an image of both platforms to a tag.
func (p *pinning) push(reference string, changed map[string]func(fstest.MapFS)) (digest string) {
	p.t.Helper()
	index, err := layout.ImageIndexFromPath(built(p.t, changed))
	if err != nil {
		p.t.Fatal(err)
	}
	tag, err := name.NewTag(reference)
	if err == nil {
		err = remote.WriteIndex(tag, index)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	hash, err := index.Digest()
	if err != nil {
		p.t.Fatal(err)
	}
	return hash.String()
}

func TestABaseIsMovedByOneCommand(t *testing.T) {
	p := newPinning(t)
	old, base := p.host+"/linuxserver/baseimage-alpine:3.20", p.host+"/linuxserver/baseimage-alpine:3.23"
	if !strings.Contains(p.read("versions.yml"), "  published: "+old+"\n") {
		t.Fatalf("versions.yml:\n%s", p.read("versions.yml"))
	}
	both := map[string]func(fstest.MapFS){"linux/amd64": another, "linux/arm64": another}
	digest := p.push(base, both)
	out, code := p.ci("pin", "--base", base)
	if code != 0 || !strings.Contains(out, "versions.yml pins "+base+"@"+digest+"\n") {
		t.Fatalf("status %d: %s", code, out)
	}
	for file, want := range map[string]string{
		"versions.yml":                     "  published: " + base + "@" + digest + "\n",
		"Dockerfile":                       "\nARG BASE_IMAGE=" + base + "@" + digest + "\n",
		"Dockerfile.aarch64":               "\nARG BASE_IMAGE=" + strings.Replace(base, ":3.23", ":arm64v8-3.23", 1) + "@" + digest + "\n",
		"pipeline/base/browser/Dockerfile": "\nARG BASE_IMAGE=" + base + "@" + digest + "\n",
		"readme-vars.yml":                  "changelogs:\n  - { date: \"" + time.Now().UTC().Format("02.01.06:") + "\", desc: \"Base moved to Alpine 3.23.\" }\n",
		"docs/maintaining.md":              "`" + base + "`",
		"README.md":                        "\"baseimage-alpine:3.23\"",
	} {
		if !strings.Contains(p.read(file), want) {
			t.Errorf("%s lacks %q", file, want)
		}
	}
	if vars := p.read("readme-vars.yml"); !strings.Contains(vars, "\n    \"baseimage-alpine:3.23\"\n") || !strings.Contains(vars, "\n    init-services -> svc-other\n") {
		t.Errorf("the init diagram:\n%s", vars[strings.Index(vars, "init_diagram"):])
	}
	for name, text := range p.files() {
		if strings.Contains(text, old) || strings.Contains(text, `baseimage-alpine:3.20"`) {
			t.Errorf("%s names the old base", name)
		}
	}
	if out, code := p.ci("readme", "--check"); code != 0 {
		t.Errorf("README.md is not as readme-vars.yml says: %s", out)
	}
	// The same tag with a new digest: the documentation does not change.
	vars := p.read("readme-vars.yml")
	digest = p.push(base, map[string]func(fstest.MapFS){"linux/amd64": newer, "linux/arm64": newer})
	if out, code := p.ci("pin", "--base", base); code != 0 || !strings.Contains(p.read("Dockerfile"), "@"+digest+"\n") {
		t.Errorf("moved again: status %d: %s", code, out)
	}
	if p.read("readme-vars.yml") != vars {
		t.Error("moved again: readme-vars.yml was changed")
	}
	before := p.files()
	if out, code := p.ci("pin", "--base", base); code != 0 || !strings.Contains(out, "already") {
		t.Errorf("a third time: status %d: %s", code, out)
	}

	// A failed pin changes nothing.
	p.push(p.host+"/linuxserver/baseimage-alpine:odd", map[string]func(fstest.MapFS){"linux/amd64": another})
	single, err := random.Image(10, 1)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(p.host + "/linuxserver/baseimage-alpine:single")
	if err == nil {
		err = remote.Write(tag, single)
	}
	if err != nil {
		t.Fatal(err)
	}
	for reference, want := range map[string]struct {
		code int
		says string
	}{
		"baseimage-alpine":                 {failure.ExitUsage, "name it as REGISTRY/NAME:TAG"},
		base + "@" + digest:                {failure.ExitUsage, "its digest is looked up"},
		base + "x":                         {failure.ExitUsage, "its registry has no such image"},
		tag.String():                       {failure.ExitUsage, "an index with images for amd64 and arm64"},
		tag.Repository.Tag("odd").String(): {failure.ExitCheck, "the bases of linux/amd64 and linux/arm64 differ"},
	} {
		if out, code := p.ci("pin", "--base", reference); code != want.code || !strings.Contains(out, want.says) {
			t.Errorf("%s: status %d, want %d: %s", reference, code, want.code, out)
		}
	}
	for name, text := range p.files() {
		if text != before[name] {
			t.Errorf("%s was changed by what failed", name)
		}
	}
}

// newer adds the same service as another and updates a program of the image.
func newer(files fstest.MapFS) {
	another(files)
	files["usr/bin/bash"] = &fstest.MapFile{Data: []byte("\x7fELF newer"), Mode: 0o755}
}

func TestImagesArePinnedAsTheirTagsAreNow(t *testing.T) {
	p := newPinning(t)
	pins, err := versions.Load(p.repo)
	if err != nil {
		t.Fatal(err)
	}
	digests := map[string]string{}
	for _, pin := range release.PinnedImages(pins)[1:] {
		digests[pin.Key] = p.push(pin.Name, nil)
	}
	before := p.files()
	base := release.PinnedImages(pins)[0]
	if out, code := p.ci("pin", "--images"); code != failure.ExitUsage || !strings.Contains(out, "pin "+base.Name+": its registry has no such image") || len(digests) != 3 {
		t.Errorf("without the base: status %d: %s", code, out)
	}
	for name, text := range p.files() {
		if text != before[name] {
			t.Errorf("%s was changed by what failed", name)
		}
	}
	digests[base.Key] = p.push(base.Name, nil)
	for range 2 { // the second time nothing changes
		if out, code := p.ci("pin", "--images"); code != 0 {
			t.Errorf("status %d: %s", code, out)
		}
		if pins, err = versions.Load(p.repo); err != nil {
			t.Fatal(err)
		}
		for _, pin := range release.PinnedImages(pins) {
			if pin.Digest != digests[pin.Key] {
				t.Errorf("%s is pinned at %q, want %s", pin.Key, pin.Digest, digests[pin.Key])
			}
		}
		if !strings.Contains(p.read("Dockerfile"), base.Name+"@"+digests[base.Key]) {
			t.Error("the Dockerfile builds on another base")
		}
	}
	// The documentation does not change.
	if p.read("readme-vars.yml") != before["readme-vars.yml"] {
		t.Error("readme-vars.yml was changed")
	}

	// A plan lists the outdated pins.
	moved := p.push(base.Name, map[string]func(fstest.MapFS){"linux/amd64": another})
	for _, pin := range release.FindPins(t.Context(), registry.Source{}, pins) {
		want := "as the tag is now"
		if pin.Key == base.Key {
			want = "behind: pinned at " + digests[base.Key][7:19] + ", the tag is now " + moved[7:19] + ": run \"go run ./ci pin --images\""
		}
		if !strings.Contains(pin.State(), want) {
			t.Errorf("%s: %s", pin.Key, pin.State())
		}
	}
}

// All files that repeat the base agree with versions.yml.
func TestAllFilesNameTheSameBase(t *testing.T) {
	pins, err := versions.Load("..")
	if err != nil {
		t.Fatal(err)
	}
	base := pins.Base.Published
	plain, _, _ := strings.Cut(base, "@")
	repository, tag, _ := strings.Cut(plain, ":")
	for file, want := range map[string]string{
		"Dockerfile":                       "\nARG BASE_IMAGE=" + base + "\n",
		"Dockerfile.aarch64":               "\nARG BASE_IMAGE=" + repository + ":arm64v8-" + strings.TrimPrefix(base, repository+":") + "\n",
		"pipeline/base/browser/Dockerfile": "\nARG BASE_IMAGE=" + base + "\n",
		"readme-vars.yml":                  "\n    \"" + filepath.Base(repository) + ":" + tag + "\"\n",
	} {
		text, err := os.ReadFile(filepath.Join("..", file))
		if err != nil || !bytes.Contains(text, []byte(want)) {
			t.Errorf("%s: %v, it lacks %q", file, err, want)
		}
	}
}
