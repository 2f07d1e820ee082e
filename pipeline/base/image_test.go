package base_test

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"io"
	"log"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func TestCachedImagesAreReturnedAtOnce(t *testing.T) {
	b := builder(t)
	if _, err := b.Base(t.Context(), platform(runtime.GOARCH)); err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	b.Log = &output
	started := time.Now()
	if _, err := b.Base(t.Context(), platform(runtime.GOARCH)); err != nil {
		t.Fatal(err)
	}
	t.Logf("it took %s", time.Since(started)) // under a second on an idle machine
	if output.Len() > 0 {
		t.Errorf("something was made again:\n%s", &output)
	}
}

func TestTheIndexIsValid(t *testing.T) {
	b := builder(t)
	index, err := b.Base(t.Context(), platform(runtime.GOARCH))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
}

// Building the upper layer again, in a cache that has only the lower one, returns
// the same image.
func TestTheSameInputsProduceTheSameImage(t *testing.T) {
	b := builder(t)
	digest := func() v1.Hash {
		t.Helper()
		img, err := b.Image(t.Context(), platform(runtime.GOARCH))
		if err != nil {
			t.Fatal(err)
		}
		d, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	first := digest()
	b.Cache = cacheWithPackagesOf(t, b.Cache)
	if second := digest(); second != first {
		t.Errorf("first %s, then %s", first, second)
	}
}

func TestAModIsPartOfTheContainerBeforeItsServicesStart(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	ref := strings.TrimPrefix(server.URL, "https://") + "/mod:v1"
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	const tree = "etc/s6-overlay/s6-rc.d/"
	for path, content := range map[string]string{
		tree + "init-mod-greet/type":                         "oneshot\n",
		tree + "init-mod-greet/up":                           "echo the mod greets\n",
		tree + "init-mod-greet/dependencies.d/init-mods":     "",
		tree + "init-mods-end/dependencies.d/init-mod-greet": "",
		tree + "user/contents.d/init-mod-greet":              "",
	} {
		if err := w.WriteHeader(&tar.Header{Name: path, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, content)
	}
	w.Close()
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, img, remote.WithTransport(server.Client().Transport)); err != nil {
		t.Fatal(err)
	}
	trusted := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	o := native(t).run(t, container{network: true, env: map[string]string{"DOCKER_MODS": ref, "S6_VERBOSITY": "2"},
		files: map[string]string{"/etc/ssl/certs/ca-certificates.crt": string(trusted)}}, "true")
	o.exits(t, 0)
	o.has(t, "[mod-init] "+ref+": applied, sha256:", "the mod greets\n", "service init-mod-greet successfully started", "[ls.io-init] done.")
}
