package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/registry/registrytest"
	"github.com/linuxserver/docker-netbox/pipeline/s6rc/recording"
)

// built returns an OCI layout with an image for each platform that contains only the
// services of the real one, edited by changed.
func built(t *testing.T, changed map[string]func(fstest.MapFS)) (dir string) {
	t.Helper()
	var images []registry.PlatformImage
	for _, of := range platform.All() {
		files := fstest.MapFS{
			"usr/bin/with-contenv": {Data: []byte("\x7fELF"), Mode: 0o755},
			"usr/bin/bash":         {Data: []byte("\x7fELF"), Mode: 0o755},
		}
		for name, file := range recording.BaseTree() {
			files["etc/s6-overlay/s6-rc.d/"+name] = file
		}
		if change := changed[of.Name()]; change != nil {
			change(files)
		}
		layer, err := registrytest.Files(files)
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, registry.PlatformImage{Platform: of.OCI, Image: registrytest.Image(t, of.OCI, nil, layer)})
	}
	index, err := registry.Index(images, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(t.TempDir(), "image")
	if err := registry.WriteLayout(dir, index); err != nil {
		t.Fatal(err)
	}
	return dir
}

// another adds one service to the image.
func another(files fstest.MapFS) {
	const dir = "etc/s6-overlay/s6-rc.d/"
	files[dir+"svc-other/type"] = &fstest.MapFile{Data: []byte("longrun\n"), Mode: 0o644}
	files[dir+"svc-other/run"] = &fstest.MapFile{Data: []byte("#!/usr/bin/with-contenv bash\nsleep infinity\n"), Mode: 0o755}
	files[dir+"svc-other/dependencies.d/init-services"] = &fstest.MapFile{Mode: 0o644}
	files[dir+"user/contents.d/svc-other"] = &fstest.MapFile{Mode: 0o644}
}

func TestAnExistingImageIsComparedAndDrawn(t *testing.T) {
	repo, output := documents(t), t.TempDir()
	svg := filepath.Join(t.TempDir(), "init.svg")
	graph := func(dir string, args ...string) (stdout, stderr string, code int) {
		return invoke(t, t.Context(), append([]string{"graph", "--repo", repo, "--output", output, "--from", "oci:" + dir}, args...)...)
	}
	stdout, stderr, code := graph(built(t, nil), "--svg", svg)
	if code != 0 || !strings.Contains(stdout, "\n  init-services -> svc-cron\n") {
		t.Errorf("status %d, %q, %q", code, stdout, stderr)
	}
	for file, shown := range map[string]string{svg: "light", strings.TrimSuffix(svg, ".svg") + "-dark.svg": "dark"} {
		have, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(repo, ".github/init-graph-"+shown+".svg"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have, want) {
			t.Errorf("the %s picture is not the one that README.md shows", shown)
		}
	}

	stdout, stderr, code = graph(built(t, map[string]func(fstest.MapFS){"linux/amd64": another}), "--svg", svg)
	if code != failure.ExitCheck || stdout != "" || !strings.Contains(stderr, `readme-vars.yml:`) || !strings.Contains(stderr, `"init-services -> svc-other"`) {
		t.Errorf("of an image that differs: status %d, %q, %q", code, stdout, stderr)
	}
	have, err := os.ReadFile(svg)
	if err != nil || !bytes.Contains(have, []byte(">undocumented<")) {
		t.Errorf("the picture does not show the difference, %v", err)
	}

	// Like --base: a layout with a single image, as skopeo and podman write it.
	index, err := layout.ImageIndexFromPath(built(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	img, err := engine.ImageFor(index, v1.Platform{OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	one := filepath.Join(t.TempDir(), "one")
	path, err := layout.Write(one, empty.Index)
	if err == nil {
		err = path.AppendImage(img)
	}
	if err != nil {
		t.Fatal(err)
	}
	if stdout, stderr, code := graph(one, "--platform", "linux/amd64"); code != 0 || !strings.Contains(stdout, "init-services -> svc-cron") {
		t.Errorf("of one image: status %d, %q, %q", code, stdout, stderr)
	}
	if _, stderr, code := graph(one, "--platform", "linux/arm64"); code != failure.ExitCheck || !strings.Contains(stderr, "linux/arm64") || !strings.Contains(stderr, "only for linux/amd64") {
		t.Errorf("of one image of another platform: status %d, %q", code, stderr)
	}

	if _, stderr, code := graph(filepath.Join(output, "nowhere")); code != failure.ExitUsage || strings.Count(stderr, "\n") != 1 {
		t.Errorf("of a layout that is not there: status %d, %q", code, stderr)
	}
	if _, stderr, code := invoke(t, t.Context(), "graph", "--repo", repo, "--output", output, "--from", "ghcr.io/x"); code != failure.ExitUsage || !strings.Contains(stderr, "oci:DIR") {
		t.Errorf("of no layout: status %d, %q", code, stderr)
	}
}

func TestWriteDocumentsTheGraphAndChangesNothingElse(t *testing.T) {
	repo, output := documents(t), t.TempDir()
	vars := filepath.Join(repo, "readme-vars.yml")
	before, err := os.ReadFile(vars)
	if err != nil {
		t.Fatal(err)
	}
	graph := func(dir string, args ...string) (stdout, stderr string, code int) {
		return invoke(t, t.Context(), append([]string{"graph", "--repo", repo, "--output", output, "--from", "oci:" + dir}, args...)...)
	}
	same := built(t, nil)
	if stdout, stderr, code := graph(same, "--write"); code != 0 || !strings.HasPrefix(stdout, "up to date: ") {
		t.Errorf("of the documented image: status %d, %q, %q", code, stdout, stderr)
	}
	if _, stderr, code := graph(built(t, map[string]func(fstest.MapFS){"linux/arm64": another}), "--write"); code != failure.ExitCheck || !strings.Contains(stderr, "linux/amd64 and linux/arm64 differ") {
		t.Errorf("of images that differ: status %d, %q", code, stderr)
	}
	if text, err := os.ReadFile(vars); err != nil || !bytes.Equal(text, before) {
		t.Fatalf("readme-vars.yml was changed for nothing, %v", err)
	}

	other := built(t, map[string]func(fstest.MapFS){"linux/amd64": another, "linux/arm64": another})
	stdout, stderr, code := graph(other, "--write")
	if want := "written: readme-vars.yml, README.md, .github/init-graph-light.svg, .github/init-graph-dark.svg\n"; code != 0 || stdout != want {
		t.Fatalf("status %d, %q, want %q; %s", code, stdout, want, stderr)
	}
	after, err := os.ReadFile(vars)
	if err != nil {
		t.Fatal(err)
	}
	undone := strings.NewReplacer("    init-services -> svc-other\n", "", "    svc-other -> legacy-services\n", "").Replace(string(after))
	if undone != string(before) || string(after) == undone {
		t.Error("more than the two edges changed, or less")
	}
	if _, stderr, code := graph(other); code != 0 {
		t.Errorf("afterwards: status %d, %q", code, stderr)
	}
	if stdout, _, code := invoke(t, t.Context(), "readme", "--check", "--repo", repo); code != 0 {
		t.Errorf("README.md is out of date:\n%s", stdout)
	}
	if stdout, _, code := graph(same, "--write"); code != 0 || !strings.HasPrefix(stdout, "written: readme-vars.yml") {
		t.Errorf("and back: status %d, %q", code, stdout)
	}
	if text, err := os.ReadFile(vars); err != nil || !bytes.Equal(text, before) {
		t.Errorf("there and back again is not the same, %v", err)
	}

	spoiled := bytes.Replace(before, []byte("    docker-mods -> base\n"), []byte("    docker-mods -> [\n"), 1)
	if err := os.WriteFile(vars, spoiled, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := graph(same); code != failure.ExitUsage || !strings.Contains(stderr, "readme-vars.yml:") {
		t.Errorf("of a diagram that cannot be read: status %d, %q", code, stderr)
	}
	if stdout, stderr, code := graph(same, "--write"); code != 0 || !strings.HasPrefix(stdout, "written: readme-vars.yml") {
		t.Errorf("and written again: status %d, %q, %q", code, stdout, stderr)
	}
}
