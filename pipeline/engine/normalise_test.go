package engine_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

var amd64 = v1.Platform{OS: "linux", Architecture: "amd64"}

func image(t *testing.T, created time.Time, history ...string) v1.Image {
	t.Helper()
	config := &v1.ConfigFile{OS: "linux", Architecture: "amd64", Created: v1.Time{Time: created}}
	for _, h := range history {
		config.History = append(config.History, v1.History{CreatedBy: h, Created: v1.Time{Time: created}, EmptyLayer: true})
	}
	img, err := mutate.ConfigFile(empty.Image, config)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func normalised(t *testing.T, img v1.Image, req engine.BuildRequest) *v1.ConfigFile {
	t.Helper()
	req.Platform = amd64
	out, err := engine.Normalise(img, req)
	if err != nil {
		t.Fatal(err)
	}
	config, err := out.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestTheTimeOfTheBuildLeavesNoTrace(t *testing.T) {
	epoch := time.Unix(1_700_000_000, 0)
	var digests []v1.Hash
	for _, built := range []time.Time{time.Now(), time.Now().Add(-time.Hour)} {
		out, err := engine.Normalise(image(t, built, "ENV A=1", "RUN make"), engine.BuildRequest{Platform: amd64, Epoch: epoch})
		if err != nil {
			t.Fatal(err)
		}
		config, err := out.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if !config.Created.Equal(epoch) || !config.History[1].Created.Equal(epoch) {
			t.Errorf("created %s, history %s, want %s", config.Created, config.History[1].Created, epoch)
		}
		d, err := out.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, d)
	}
	if digests[0] != digests[1] {
		t.Errorf("two builds of the same made %s and %s", digests[0], digests[1])
	}
	if config := normalised(t, image(t, time.Now()), engine.BuildRequest{}); config.Created.Unix() != 0 {
		t.Errorf("with no epoch, created is %s, want 1970", config.Created)
	}
}

func TestABuildErrorIsOneLineThatNamesTheInstruction(t *testing.T) {
	err := &engine.BuildError{Platform: v1.Platform{OS: "linux", Architecture: "arm64"}, Dockerfile: "Dockerfile.aarch64", Line: 31,
		Step: "RUN apt-get update &&\n    apt-get install " + strings.Repeat("x", 200), Output: []string{"one", "E: no such package"},
		Err: errorText("exit code: 1")}
	want := "build linux/arm64: Dockerfile.aarch64:31: RUN apt-get update && apt-get install " + strings.Repeat("x", 82) + "…: exit code: 1: E: no such package"
	if got := err.Error(); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := (&engine.BuildError{Platform: amd64, Dockerfile: "Dockerfile", Err: errorText("no such file")}).Error(); got != "build linux/amd64: Dockerfile: no such file" {
		t.Errorf("with nothing known got %q", got)
	}
}

type errorText string

func (e errorText) Error() string { return string(e) }

func TestImageForFindsThePlatform(t *testing.T) {
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image(t, time.Time{}), Descriptor: v1.Descriptor{Platform: &amd64}})
	if _, err := engine.ImageFor(index, amd64); err != nil {
		t.Error(err)
	}
	if _, err := engine.ImageFor(index, v1.Platform{OS: "linux", Architecture: "arm64"}); err == nil || !strings.Contains(err.Error(), "linux/arm64") {
		t.Errorf("err is %v, want one that names the platform", err)
	}
}

// A missing image of another platform must not make ImageFor fail.
func TestImageForOpensNoImageOfAnotherPlatform(t *testing.T) {
	var opened []string
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/sha256:") {
			opened = append(opened, path.Base(r.URL.Path))
		}
		handler.ServeHTTP(w, r)
	}))
	defer server.Close()
	index := v1.ImageIndex(empty.Index)
	for _, arch := range []string{"arm64", "amd64", "riscv64"} {
		img := image(t, time.Time{}, arch)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/image:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Delete(ref.Context().Digest(manifest.Manifests[0].Digest.String())); err != nil {
		t.Fatal(err)
	}
	there, err := remote.Index(ref)
	if err != nil {
		t.Fatal(err)
	}
	opened = nil
	if _, err := engine.ImageFor(there, amd64); err != nil {
		t.Error(err)
	}
	if want := []string{manifest.Manifests[1].Digest.String()}; !slices.Equal(opened, want) {
		t.Errorf("opened %q, want %q", opened, want)
	}
}
