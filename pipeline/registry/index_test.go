package registry_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

func TestTheIndexNamesItsPlatformsAndDependsOnNothingButItsImages(t *testing.T) {
	a, b := image(t, amd64), image(t, arm64)
	about := map[string]string{
		registry.TitleLabel: "netbox", registry.VersionLabel: "4.7.3", registry.RevisionLabel: "0123abc",
		registry.BaseNameLabel: "ghcr.io/linuxserver/baseimage-alpine:3.20", registry.BaseDigestLabel: "",
	}
	one, err := registry.Index([]registry.PlatformImage{{Platform: amd64, Image: a}, {Platform: arm64, Image: b}}, about)
	must(t, err)
	// In the other order, and arm64 without its variant.
	two, err := registry.Index([]registry.PlatformImage{
		{Platform: v1.Platform{OS: "linux", Architecture: "arm64"}, Image: b}, {Platform: amd64, Image: a}}, about)
	must(t, err)
	raw1, err := one.RawManifest()
	must(t, err)
	raw2, err := two.RawManifest()
	must(t, err)
	if string(raw1) != string(raw2) {
		t.Errorf("two indexes of the same images differ:\n%s\n%s", raw1, raw2)
	}
	must(t, validate.Index(one))

	manifest, err := one.IndexManifest()
	must(t, err)
	if manifest.MediaType != types.OCIImageIndex {
		t.Errorf("media type %s", manifest.MediaType)
	}
	var platforms []string
	for _, d := range manifest.Manifests {
		platforms = append(platforms, d.Platform.String())
		if d.ArtifactType != "" {
			t.Errorf("the image for %s is listed as an artifact, of type %s", d.Platform, d.ArtifactType)
		}
	}
	if got := strings.Join(platforms, " "); got != "linux/amd64 linux/arm64/v8" {
		t.Errorf("platforms %s", got)
	}
	delete(about, registry.BaseDigestLabel)
	if !maps.Equal(manifest.Annotations, about) {
		t.Errorf("annotations %q, want %q", manifest.Annotations, about)
	}
}

func TestAnIndexOfTheWrongImagesIsRefused(t *testing.T) {
	_, err := registry.Index([]registry.PlatformImage{{Platform: arm64, Image: image(t, amd64)}}, nil)
	wantError(t, err, "the image for linux/arm64/v8 says it is for linux/amd64")
	_, err = registry.Index([]registry.PlatformImage{{Platform: amd64, Image: image(t, amd64)}, {Platform: amd64, Image: image(t, amd64)}}, nil)
	wantError(t, err, "two images for linux/amd64")
	_, err = registry.Index(nil, nil)
	wantError(t, err, "no image given")
}

func TestALayoutIsReadBackAsItWasWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dist", "image")
	first, _ := index(t)
	must(t, registry.WriteLayout(dir, first))
	second, _ := index(t)
	must(t, registry.WriteLayout(dir, second))

	back, err := registry.ReadLayout(t.Context(), dir)
	must(t, err)
	must(t, validate.Index(back))
	got, err := back.Digest()
	must(t, err)
	want, err := second.Digest()
	must(t, err)
	if got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
	// Nothing of the first is left. The second has 2 images of 2 layers, a
	// configuration and a manifest each, and the index.
	if blobs, _ := filepath.Glob(dir + "/blobs/sha256/*"); len(blobs) != 9 {
		t.Errorf("%d blobs, want 9", len(blobs))
	}
	onlyEntry(t, filepath.Dir(dir), "image")
}

func TestAFailedWriteKeepsTheOldLayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "image")
	good, _ := index(t)
	must(t, registry.WriteLayout(dir, good))
	bad := mutate.AppendManifests(good, mutate.IndexAddendum{Add: brokenImage{image(t, amd64)}})
	wantError(t, registry.WriteLayout(dir, bad), "writing the image layout", "the layers are gone")
	_, err := registry.ReadLayout(t.Context(), dir)
	must(t, err)
	onlyEntry(t, filepath.Dir(dir), "image")
}

type brokenImage struct{ v1.Image }

func (brokenImage) Layers() ([]v1.Layer, error) { return nil, errors.New("the layers are gone") }

func onlyEntry(t *testing.T, dir, name string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 1 || entries[0].Name() != name {
		t.Errorf("%s holds %v, want %s only", dir, entries, name)
	}
}

func TestADamagedLayoutIsNotRead(t *testing.T) {
	idx, booted := index(t)
	images, err := registry.Images(idx)
	must(t, err)
	layers, err := images[0].Image.Layers()
	must(t, err)
	layer, err := layers[1].Digest()
	must(t, err)
	digest, err := idx.Digest()
	must(t, err)

	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		error string
	}{
		"a flipped bit in a layer": {func(t *testing.T, dir string) { flip(t, dir+"/blobs/sha256/"+layer.Hex) }, "blob " + layer.String() + ": it is corrupt"},
		"a layer cut short": {func(t *testing.T, dir string) {
			must(t, os.Truncate(dir+"/blobs/sha256/"+layer.Hex, 100))
		}, "blob " + layer.String() + ": it is corrupt"},
		"a layer gone":                {func(t *testing.T, dir string) { must(t, os.Remove(dir+"/blobs/sha256/"+layer.Hex)) }, layer.Hex},
		"a flipped bit in a manifest": {func(t *testing.T, dir string) { flip(t, dir+"/blobs/sha256/"+booted["linux/arm64"].Hex) }, "linux/arm64"},
		"a flipped bit in the index":  {func(t *testing.T, dir string) { flip(t, dir+"/blobs/sha256/"+digest.Hex) }, ""},
		"no index.json":               {func(t *testing.T, dir string) { must(t, os.Remove(dir+"/index.json")) }, "index.json"},
		"an empty index.json": {func(t *testing.T, dir string) {
			must(t, os.WriteFile(dir+"/index.json", []byte(`{"schemaVersion":2,"manifests":[]}`), 0o644))
		}, "indexes, not one"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "image")
			must(t, registry.WriteLayout(dir, idx))
			c.spoil(t, dir)
			_, err := registry.ReadLayout(t.Context(), dir)
			wantError(t, err, "read the image layout "+dir, c.error, "make it again")
			if failure.ExitCode(err) != failure.ExitCheck {
				t.Errorf("exit code %d", failure.ExitCode(err))
			}
		})
	}

	_, err = registry.ReadLayout(t.Context(), filepath.Join(t.TempDir(), "image"))
	wantError(t, err, "there is none", "go run ./ci build")
	if failure.ExitCode(err) != failure.ExitUsage {
		t.Errorf("exit code %d for a layout that is absent", failure.ExitCode(err))
	}
}

func flip(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	must(t, err)
	b[len(b)/2] ^= 1
	must(t, os.WriteFile(file, b, 0o644))
}

func TestTargets(t *testing.T) {
	for in, want := range map[string]string{
		"ghcr.io/linuxserver/netbox":                "ghcr.io/linuxserver/netbox:latest",
		"ghcr.io/linuxserver/netbox:4.7.3-ls1":      "ghcr.io/linuxserver/netbox:4.7.3-ls1",
		"docker.io/linuxserver/netbox:latest":       "docker.io/linuxserver/netbox:latest",
		"localhost/netbox":                          "localhost/netbox:latest",
		"127.0.0.1:5000/a/b/c:x":                    "127.0.0.1:5000/a/b/c:x",
		"[::1]:5000/netbox":                         "[::1]:5000/netbox:latest",
		"http://registry.example:5000/net__box-2.x": "registry.example:5000/net__box-2.x:latest",
	} {
		got, err := registry.ParseTarget(in)
		if err != nil || got.String() != want {
			t.Errorf("%q: %s, %v; want %s", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"":                            "the name is empty",
		"http://":                     "the name is empty",
		"netbox":                      "does not begin with a registry",
		"linuxserver/netbox":          "does not begin with a registry",
		"ghcr.io":                     "does not begin with a registry",
		"ghcr.io/":                    `the part "" of the name`,
		"ghcr.io/a//b":                `the part "" of the name`,
		"ghcr.io/a/":                  `the part "" of the name`,
		"ghcr.io/LinuxServer/netbox":  `the part "LinuxServer" of the name`,
		"ghcr.io/linuxserver/net box": "white space",
		"ghcr.io/../netbox":           `the part ".." of the name`,
		"ghcr.io/netbox:":             `the tag ""`,
		"ghcr.io/netbox:-x":           `the tag "-x"`,
		"ghcr.io/netbox:a:b":          `the tag "a:b"`,
		"ghcr.io/netbox:" + strings.Repeat("x", 129): "the tag",
		"ghcr.io/netbox:tag/more":                    `the tag "tag/more"`,
		"ghcr.io/netbox@sha256:00":                   "a digest cannot be published to",
		"https://ghcr.io/netbox":                     `leave out "https://"`,
		"docker://ghcr.io/netbox":                    `leave out "docker://"`,
		"docker.io/me":                               "Docker Hub wants a namespace and a name, docker.io/NAMESPACE/me or docker.io/me/NAME",
		"docker.io/me:1":                             "Docker Hub wants a namespace and a name, docker.io/NAMESPACE/me or docker.io/me/NAME",
		"index.docker.io/me":                         "Docker Hub wants a namespace and a name",
		"ghcr.io:0/netbox":                           "has no port between 1 and 65535",
		"ghcr.io:99999/netbox":                       "has no port between 1 and 65535",
		"ghcr.io:/netbox":                            "has no port between 1 and 65535",
		"-x.io/netbox":                               `the registry "-x.io" is no host name`,
		"user:pw.x/netbox":                           "has no port",
		"[::1/netbox":                                "is no IPv6 address",
		"gh_cr.io/netbox":                            "is no host name",
		"../netbox":                                  "is no host name",
	} {
		_, err := registry.ParseTarget(in)
		wantError(t, err, want, "as in ghcr.io/linuxserver/netbox:latest")
		if failure.ExitCode(err) != failure.ExitUsage {
			t.Errorf("%q: exit code %d", in, failure.ExitCode(err))
		}
	}
}

func FuzzTarget(f *testing.F) {
	f.Add("ghcr.io/linuxserver/netbox:latest")
	f.Add("http://[::1]:5000/a__b/c-d.e:T_1")
	f.Fuzz(func(t *testing.T, s string) {
		target, err := registry.ParseTarget(s)
		if err != nil {
			return
		}
		again, err := registry.ParseTarget(target.String())
		if err != nil || again.String() != target.String() {
			t.Errorf("%q reads as %s, which reads as %s, %v", s, target, again, err)
		}
	})
}

func TestTheLoopbackRegistryAcceptsAnIndexAndStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	blobs := filepath.Join(t.TempDir(), "blobs")
	server, err := registry.Loopback(ctx, blobs)
	must(t, err)
	if host, _, _ := net.SplitHostPort(server.Host); host != "127.0.0.1" {
		t.Errorf("it listens on %s", server.Host)
	}
	target, err := registry.ParseTarget(server.Host + "/netbox")
	must(t, err)
	idx, booted := index(t)
	_, err = registry.Publish(ctx, idx, []registry.Target{target}, registry.Options{Booted: booted})
	must(t, err)
	resp, err := http.Get("http://" + server.Host + "/v2/netbox/referrers/" + booted["linux/amd64"].String())
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("referrers: %s", resp.Status)
	}

	if left, _ := filepath.Glob(blobs + "/uploads-*/*"); len(left) > 0 {
		t.Errorf("after the blobs have come in, %v is left", left)
	}
	cancel()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		conn, err := net.Dial("tcp", server.Host)
		if err != nil {
			break
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatalf("%s still answers", server.Host)
		}
	}
	must(t, server.Close())
	must(t, server.Close()) // a second call succeeds too
	if left, _ := filepath.Glob(blobs + "/uploads-*"); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

func TestTheLoopbackRegistryKeepsNoPartOfAnUpload(t *testing.T) {
	blobs := t.TempDir()
	server, err := registry.Loopback(t.Context(), blobs)
	must(t, err)
	defer server.Close()
	open := func() string {
		resp, err := http.Post("http://"+server.Host+"/v2/netbox/blobs/uploads/", "", nil)
		must(t, err)
		resp.Body.Close()
		return resp.Header.Get("Location")
	}
	patch := func(at string, size int, text string) int {
		conn, err := net.Dial("tcp", server.Host)
		must(t, err)
		defer conn.Close()
		fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", at, size, text)
		must(t, conn.(*net.TCPConn).CloseWrite())
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		must(t, err)
		resp.Body.Close()
		return resp.StatusCode
	}
	if status := patch(open(), 10, "half"); status != http.StatusInternalServerError {
		t.Errorf("half a blob: %d", status)
	}
	if left, _ := filepath.Glob(blobs + "/uploads-*/*"); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	at := open()
	if status := patch(at, 5, "whole"); status != http.StatusAccepted {
		t.Errorf("a whole blob: %d", status)
	}
	if status := patch(at, 4, "more"); status < 400 {
		t.Errorf("more of the same blob, in place of it: %d", status)
	}
}
