package tests

import (
	"bytes"
	"context"
	"image/png"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/initgraph"
	"github.com/linuxserver/docker-netbox/pipeline/readme"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
	"github.com/linuxserver/docker-netbox/pipeline/smoke"
	"github.com/linuxserver/docker-netbox/tests/testrepo"
)

// TestCheck runs check on the unchanged repository.
func TestCheck(t *testing.T) {
	dist := t.TempDir()
	checked := ci(t, root, dist, "check")
	if checked.code != 0 {
		t.Fatalf("check: status %d, want 0", checked.code)
	}
	r := checked.report(t)
	idx, err := registry.ReadLayout(t.Context(), filepath.Join(dist, "image"))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := idx.Digest()
	if err != nil {
		t.Fatal(err)
	}
	images, err := registry.Images(idx)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("standard output is the digest of the index", func(t *testing.T) {
		if checked.stdout != digest.String()+"\n" {
			t.Errorf("standard output %q, want %s", checked.stdout, digest)
		}
	})
	t.Run("both platforms are in the index as they were booted", func(t *testing.T) {
		if len(images) != 2 || len(r.Platforms) != 2 {
			t.Fatalf("%d images, %d platforms in the report, want 2", len(images), len(r.Platforms))
		}
		for i, img := range images {
			h, err := img.Image.Digest()
			if err != nil {
				t.Fatal(err)
			}
			if p := r.Platforms[i]; p.Platform != registry.Key(img.Platform) || p.Image != h.String() {
				t.Errorf("index holds %s %s, report says %s %s", registry.Key(img.Platform), h, p.Platform, p.Image)
			}
		}
	})
	t.Run("the images say what they are", func(t *testing.T) {
		for _, img := range images {
			labelsSayWhatItIs(t, img)
		}
	})
	t.Run("the init graph is the documented one", func(t *testing.T) {
		data, err := os.ReadFile(filepath.Join(root, readme.File))
		if err != nil {
			t.Fatal(err)
		}
		vars, err := readme.Parse(readme.File, data)
		if err != nil {
			t.Fatal(err)
		}
		for _, img := range images {
			found, _, err := initgraph.FromImage(img.Image)
			if err != nil {
				t.Fatal(err)
			}
			declared, err := initgraph.ParseD2(vars.InitDiagram)
			if err != nil {
				t.Fatal(err)
			}
			found.Title, found.Bases = declared.Title, declared.Bases
			if strings.TrimSpace(found.D2()) != strings.TrimSpace(vars.InitDiagram) {
				t.Errorf("%s: the graph is\n%s", registry.Key(img.Platform), found.D2())
			}
		}
	})
	t.Run("everything was asked of both platforms", func(t *testing.T) {
		for _, p := range r.Platforms {
			if len(p.Smoke) != len(smoke.Checks()) || p.Boot == nil || len(p.Boot.Services) < 18 || p.Boot.FirstOK <= 0 || p.Boot.Stop <= 0 {
				t.Errorf("%s: %d answers, boot %+v", p.Platform, len(p.Smoke), p.Boot)
			}
			if len(p.Pictures) != 3 {
				t.Errorf("%s: %d pictures of pages, want 3", p.Platform, len(p.Pictures))
			}
			for _, picture := range p.Pictures {
				if size, err := png.DecodeConfig(bytes.NewReader(picture.PNG)); err != nil || size.Width != 1280 {
					t.Errorf("%s: %v, %d wide", picture.Name, err, size.Width)
				}
			}
		}
		if r.Verdict() != report.Passed {
			t.Errorf("verdict %s: %s", r.Verdict(), r.Why())
		}
	})
	t.Run("the packages of both platforms are known", func(t *testing.T) { packagesAreKnown(t, r) })
	t.Run("nothing of the run is left", func(t *testing.T) { checked.nothingIsLeft(t) })
	t.Run("again makes the same digest", func(t *testing.T) {
		again := ci(t, root, t.TempDir(), "build")
		if again.code != 0 || again.stdout != checked.stdout {
			t.Errorf("build: status %d, %q; check printed %q", again.code, again.stdout, checked.stdout)
		}
	})
	t.Run("one platform alone is taken from what was made for both", func(t *testing.T) { nothingIsMadeAgain(t, images[0]) })
	t.Run("publish brings what was proven", func(t *testing.T) { publishBringsWhatWasProven(t, dist, digest) })
	t.Run("publish refuses what was not proven", func(t *testing.T) {
		other := t.TempDir()
		testrepo.Sh(t, dist, `cp -a image "$1"`, other)
		red := checked.report(t)
		i := slices.IndexFunc(red.Stages, func(s report.Stage) bool { return s.Stage == "smoke" })
		red.Stages[i].Errors = []string{"log in: it answered 502"}
		if err := red.Write(filepath.Join(other, pipeline.CheckReport), func(text string) string { return text }); err != nil {
			t.Fatal(err)
		}
		o := ci(t, root, other, "publish", "--to", "127.0.0.1:1/netbox")
		if o.code != 2 || !strings.Contains(o.stderr, "no check of it has passed") {
			t.Errorf("status %d, %s", o.code, o.stderr)
		}
	})
	t.Run("a blob that comes back corrupted fails the publication", func(t *testing.T) { corruptedBlob(t, dist) })
}

// nothingIsMadeAgain checks that a second build runs no step, no package scan and
// no image export again. A scan is cached by the digest of its image.
func nothingIsMadeAgain(t *testing.T, of registry.PlatformImage) {
	t.Helper()
	alone := ci(t, root, t.TempDir(), "build", "--platform", registry.Key(of.Platform))
	if alone.code != 0 {
		t.Fatalf("build: status %d", alone.code)
	}
	running, ran := regexp.MustCompile(`(#\d+)/\d+ \[.*\] RUN `), map[string]string{}
	for line := range strings.Lines(alone.stderr) {
		if strings.Contains(line, "packages of ") || strings.Contains(line, "writing the image") {
			t.Errorf("made again: %s", line)
		}
		if step := running.FindStringSubmatch(line); step != nil {
			ran[step[1]] = line
		}
		if fields := strings.Fields(line); len(fields) > 1 && fields[len(fields)-1] == "cached" {
			step, _, _ := strings.Cut(fields[len(fields)-2], "/")
			ran[step] = ""
		}
	}
	if len(ran) == 0 {
		t.Error("the log has no steps")
	}
	for _, line := range ran {
		if line != "" {
			t.Errorf("ran again: %s", line)
		}
	}
	idx, err := registry.ReadLayout(t.Context(), filepath.Join(alone.dist, "image"))
	if err != nil {
		t.Fatal(err)
	}
	images, err := registry.Images(idx)
	if err != nil || len(images) != 1 {
		t.Fatalf("%d images, %v", len(images), err)
	}
	got, err := images[0].Image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if want, err := of.Image.Digest(); err != nil || got != want {
		t.Errorf("alone it is %s, in the index of both %s, %v", got, want, err)
	}
}

// packagesAreKnown checks that the report lists packages of every type and that
// each document names all of them.
func packagesAreKnown(t *testing.T, r report.Report) {
	t.Helper()
	of := map[string]report.Platform{}
	for _, p := range r.Platforms {
		of[p.Platform] = p
		sorts := map[string]int{}
		for _, k := range p.Packages {
			sorts[k.Type]++
		}
		if sorts["deb"] < 100 || sorts["python"] < 80 || sorts["go-module"] == 0 {
			t.Errorf("%s: packages %v", p.Platform, sorts)
		}
		if !slices.Contains(p.Packages, sbom.Package{Name: "netbox", Version: r.Version, Type: "python"}) {
			t.Errorf("%s: NetBox %s is not among the packages", p.Platform, r.Version)
		}
	}
	if len(r.Documents) != 3*len(r.Platforms) {
		t.Errorf("%d documents", len(r.Documents))
	}
	for _, d := range r.Documents {
		image := of[d.Platform]
		text := string(d.Text)
		if d.Type != sbom.ListType && !strings.Contains(text, strings.TrimPrefix(image.Image, "sha256:")) {
			t.Errorf("%s does not name its image %s", d.Name, image.Image)
		}
		for _, p := range image.Packages {
			if !strings.Contains(text, p.Name) {
				t.Errorf("%s does not name %s", d.Name, p.Name)
			}
		}
	}
}

func labelsSayWhatItIs(t *testing.T, img registry.PlatformImage) {
	t.Helper()
	config, err := img.Image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	labels := config.Config.Labels
	if !strings.HasPrefix(labels["build_version"], "Linuxserver.io version:- v") || !strings.Contains(labels["build_version"], " Build-date:- 20") {
		t.Errorf("build_version is %q", labels["build_version"])
	}
	for _, key := range []string{"authors", "created", "description", "documentation", "licenses", "ref.name",
		"revision", "source", "title", "url", "vendor", "version"} {
		if labels["org.opencontainers.image."+key] == "" {
			t.Errorf("label org.opencontainers.image.%s is missing", key)
		}
	}
	for _, kv := range config.Config.Env {
		for _, leaked := range []string{"VERSION=", "BUILD_DATE=", "REVISION=", "TARGETARCH=", "NETBOX_RELEASE=", "QEMU_CPU="} {
			if strings.HasPrefix(kv, leaked) {
				t.Errorf("%s: %s of the build is in the image's environment", registry.Key(img.Platform), kv)
			}
		}
	}
	if got := (v1.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant}); !got.Equals(img.Platform) {
		t.Errorf("the image says it is for %s, the index says %s", got, img.Platform)
	}
}

func publishBringsWhatWasProven(t *testing.T, dist string, digest v1.Hash) {
	server, err := registry.Loopback(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	ref := server.Host + "/linuxserver/netbox:test"
	o := ci(t, root, dist, "publish", "--to", ref)
	if want := ref + "@" + digest.String() + "\n"; o.code != 0 || o.stdout != want {
		t.Fatalf("status %d, %q, want %q", o.code, o.stdout, want)
	}
	tag, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	got, err := remote.Get(tag)
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest != digest {
		t.Errorf("the tag points at %s, want %s", got.Digest, digest)
	}
	o = ci(t, root, dist, "verify", ref, "--require", "provenance,sbom,report")
	for _, want := range []string{"built it from commit ", "linux/arm64  sbom ", "linux/arm64 answered after "} {
		if o.code != 0 || !strings.Contains(o.stdout, want) {
			t.Errorf("verify: status %d, want 0 and %q:\n%s", o.code, want, o.stdout)
		}
	}
}

// corruptedBlob publishes through a proxy that flips a bit of every blob that is
// pulled.
func corruptedBlob(t *testing.T, dist string) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server, err := registry.Loopback(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	proxy := httptest.NewServer(&flipper{to: "http://" + server.Host})
	defer proxy.Close()
	ref := strings.TrimPrefix(proxy.URL, "http://") + "/linuxserver/netbox:test"
	o := ci(t, root, dist, "publish", "--to", ref)
	if o.code != 1 || !strings.Contains(o.stderr, "pulling back blob sha256:") || !strings.Contains(o.stderr, "checksum") {
		t.Errorf("status %d, want 1 and a line that names the blob", o.code)
	}
	tag, err := name.ParseReference(server.Host + "/linuxserver/netbox:test")
	if err != nil {
		t.Fatal(err)
	}
	if d, err := remote.Head(tag); err == nil {
		t.Errorf("the tag points at %s in spite of it", d.Digest)
	}
}
