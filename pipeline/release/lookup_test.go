package release_test

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/registry/registrytest"
	"github.com/linuxserver/docker-netbox/pipeline/release"
)

// published pushes an index whose images have these labels to a registry, and returns
// its reference.
func published(t *testing.T, labels, annotations map[string]string) string {
	t.Helper()
	var images []registry.PlatformImage
	for _, p := range platform.All() {
		images = append(images, registry.PlatformImage{Platform: p.OCI, Image: registrytest.Image(t, p.OCI, labels)})
	}
	idx, err := registry.Index(images, nil)
	if err != nil {
		t.Fatal(err)
	}
	idx = mutate.Annotations(idx, annotations).(v1.ImageIndex)
	reference := registrytest.Server(t) + "/linuxserver/netbox:latest"
	tag, err := name.NewTag(reference)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(tag, idx); err != nil {
		t.Fatal(err)
	}
	return reference
}

func TestAPublishedImageIsReadFromItsRegistry(t *testing.T) {
	t.Parallel()
	reference := published(t, map[string]string{
		"build_version":                     "Linuxserver.io version:- v4.6.5-ls365 Build-date:- 2026-01-02T03:04:05+00:00",
		"org.opencontainers.image.revision": head,
	}, map[string]string{
		"org.opencontainers.image.base.name":   "ghcr.io/linuxserver/baseimage-alpine:3.20",
		"org.opencontainers.image.base.digest": "sha256:abc",
	})
	p, err := release.FindPublished(t.Context(), registry.Source{}, reference)
	if err != nil {
		t.Fatal(err)
	}
	if p.Version != "v4.6.5-ls365" || p.Commit != head || p.Base.Digest != "sha256:abc" || !strings.HasPrefix(p.Digest, "sha256:") {
		t.Errorf("got %+v", p)
	}
}

func TestALabelOfAnotherFormGivesNoVersion(t *testing.T) {
	t.Parallel()
	for _, label := range []string{"", "v4.6.5-ls365", "Linuxserver.io version:- v4.7.3-c80feb5 Build-date:- x", "Linuxserver.io version:- v4.6.5-ls0 Build-date:- x",
		"Linuxserver.io version:- v4.6.5-ls99999999999999999999 Build-date:- x", "Linuxserver.io version:- $(reboot)-ls3 Build-date:- x"} {
		p, err := release.FindPublished(t.Context(), registry.Source{}, published(t, map[string]string{"build_version": label}, nil))
		if err != nil || p.Version != "" || p.Label != label {
			t.Errorf("%q: %+v, %v", label, p, err)
		}
	}
}

func TestNoImageYetIsNoErrorButARegistryThatDoesNotAnswerIs(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	host := strings.TrimPrefix(server.URL, "http://")
	p, err := release.FindPublished(t.Context(), registry.Source{}, host+"/linuxserver/netbox:latest")
	if p != nil || err != nil {
		t.Errorf("an empty registry: %+v, %v", p, err)
	}
	ref, err := name.NewTag(host + "/linuxserver/one:latest")
	if err == nil {
		err = remote.Write(ref, empty.Image)
	}
	if err != nil {
		t.Fatal(err)
	}
	if p, err := release.FindPublished(t.Context(), registry.Source{}, host+"/linuxserver/one:latest"); p != nil || failure.ExitCode(err) != failure.ExitUsage || !strings.Contains(err.Error(), "one image") {
		t.Errorf("one image and no index: %+v, %v", p, err)
	}
	server.Close()
	_, err = release.FindPublished(t.Context(), registry.Source{}, host+"/linuxserver/netbox:latest")
	if failure.ExitCode(err) != failure.ExitUsage || !strings.Contains(err.Error(), "--published none") || len(failure.Lines(err)) != 1 {
		t.Errorf("a registry that is down: %v", err)
	}
}

func TestABaseIsAskedForItsDigestOnlyWhereThereIsOne(t *testing.T) {
	t.Parallel()
	reference := published(t, nil, nil)
	b, err := release.FindBase(t.Context(), registry.Source{}, reference)
	if err != nil || b.Name != reference || !strings.HasPrefix(b.Digest, "sha256:") || b.Reference() != reference+"@"+b.Digest {
		t.Errorf("published: %+v, %v", b, err)
	}
	again, err := release.FindBase(t.Context(), registry.Source{}, b.Reference())
	if err != nil || again != b {
		t.Errorf("by digest: %+v, %v", again, err)
	}
	for _, name := range []string{"local", "oci:some/dir"} {
		if b, err := release.FindBase(t.Context(), registry.Source{}, name); err != nil || b.Reference() != name {
			t.Errorf("%s: %+v, %v", name, b, err)
		}
	}
}

func TestTheNewestReleaseIsWhatPipWouldInstall(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	for _, test := range []struct{ out, want, says string }{
		{`{"install": [{"metadata": {"name": "netbox", "version": "4.8.10"}}]}`, "4.8.10", ""},
		{`{"install": [{"metadata": {"name": "netbox", "version": "4.8.9.post1"}}]}`, "", `"4.8.9.post1", which is no final release`},
		{`{"install": []}`, "", "it would install none"},
		{"something else\n", "", "no JSON"},
	} {
		if err := os.WriteFile(filepath.Join(bin, "python3"), []byte("#!/bin/sh\necho '"+test.out+"'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		got, err := release.FindUpstream(t.Context())
		if got != test.want || (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%q: %q, %v", test.out, got, err)
		}
	}
	t.Setenv("PATH", t.TempDir())
	_, err := release.FindUpstream(t.Context())
	if failure.ExitCode(err) != failure.ExitUsage || !strings.Contains(err.Error(), "python3-pip") {
		t.Errorf("without pip: %v", err)
	}
}

func TestAnImageBuiltAgainIsComparedLayerByLayer(t *testing.T) {
	t.Parallel()
	layers := func(instructions ...string) v1.Image {
		img := mutate.MediaType(empty.Image, "application/vnd.oci.image.manifest.v1+json")
		for _, from := range instructions {
			layer, err := random.Layer(100, "application/vnd.oci.image.layer.v1.tar+gzip")
			if err != nil {
				t.Fatal(err)
			}
			if img, err = mutate.Append(img, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: from}}); err != nil {
				t.Fatal(err)
			}
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config = config.DeepCopy()
		config.OS, config.Architecture = "linux", "amd64"
		if img, err = mutate.ConfigFile(img, config); err != nil {
			t.Fatal(err)
		}
		return img
	}
	platform := v1.Platform{OS: "linux", Architecture: "amd64"}
	index := func(img v1.Image) v1.ImageIndex {
		idx, err := registry.Index([]registry.PlatformImage{{Platform: platform, Image: img}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return idx
	}
	was := layers("RUN packages", "COPY --from=version /build_version /build_version")
	if r, err := release.CompareImages(t.Context(), platform, index(was), was, false); err != nil || len(r.Differs) != 0 {
		t.Errorf("the same: %+v, %v", r, err)
	}
	if r, err := release.CompareImages(t.Context(), platform, index(was), layers("RUN packages", "COPY --from=version /build_version /build_version"), false); err != nil || len(r.Differs) != 1 || r.Differs[0] != "RUN packages" {
		t.Errorf("other packages: %+v, %v", r, err)
	}
	relabelled, err := mutate.Config(was, v1.Config{Labels: map[string]string{"a": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := release.CompareImages(t.Context(), platform, index(was), relabelled, false); err != nil || len(r.Differs) != 0 {
		t.Errorf("other labels: %+v, %v", r, err)
	}
	if r, err := release.CompareImages(t.Context(), v1.Platform{OS: "linux", Architecture: "arm64"}, index(was), was, false); err != nil || len(r.Differs) != 1 {
		t.Errorf("a platform that is not published: %+v, %v", r, err)
	}
}
