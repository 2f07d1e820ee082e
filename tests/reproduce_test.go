package tests

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/tests/testrepo"
)

// A rebuild of a published image with an empty cache is identical to the byte. An
// image of another commit that claims this one is detected.
func TestACommitBuiltAgainFromAnEmptyCacheGivesThePublishedImage(t *testing.T) {
	if !*soak {
		t.Skip("SKIPPED: it builds the image of each platform twice from empty caches: run with -soak")
	}
	for _, platform := range []string{"linux/amd64", "linux/arm64"} {
		t.Run(platform, func(t *testing.T) {
			repo := copyOfRepository(t, nil)
			commit := testrepo.Sh(t, repo, "git rev-parse HEAD")
			server, err := registry.Loopback(t.Context(), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()

			emptyCache(t)
			first := build(t, repo, platform)
			publishTo(t, server.Host+"/netbox:1", first)
			if err := os.RemoveAll(os.Getenv("XDG_CACHE_HOME")); err != nil {
				t.Fatal(err)
			}

			emptyCache(t)
			verify := func(tag string) outcome {
				return ci(t, repo, t.TempDir(), "verify", "--rebuild", "--platform", platform, server.Host+"/netbox:"+tag)
			}
			again := "commit " + commit + " was built again: it is "
			if o := verify("1"); o.code != 0 || !strings.Contains(o.stdout, again+"the same image to the byte") {
				t.Errorf("status %d:\n%s", o.code, o.stdout)
			}

			write(t, repo, "root/etc/something-else", "else\n", 0o644)
			testrepo.Sh(t, repo, "git add -A && git -c user.name=test -c user.email=test@example.com commit -q -m changed")
			publishTo(t, server.Host+"/netbox:2", saying(t, build(t, repo, platform), commit))
			if o := verify("2"); o.code != 1 || !strings.Contains(o.stdout, again+"sha256:") || !strings.Contains(o.stdout, "2 files: /build_version, /etc/something-else") {
				t.Errorf("status %d:\n%s", o.code, o.stdout)
			}
		})
	}
}

// emptyCache sets an empty cache for the command line and keeps that of go.
func emptyCache(t *testing.T) {
	t.Helper()
	t.Setenv("GOCACHE", testrepo.Sh(t, root, "go env GOCACHE"))
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
}

func build(t *testing.T, repo, platform string) v1.ImageIndex {
	t.Helper()
	dist := t.TempDir()
	if o := ci(t, repo, dist, "build", "--platform", platform); o.code != 0 {
		t.Fatalf("build: status %d", o.code)
	}
	idx, err := registry.ReadLayout(t.Context(), filepath.Join(dist, "image"))
	if err != nil {
		t.Fatal(err)
	}
	return idx
}

func publishTo(t *testing.T, reference string, idx v1.ImageIndex) {
	t.Helper()
	target, err := registry.ParseTarget(reference)
	if err == nil {
		_, err = registry.Publish(t.Context(), idx, []registry.Target{target}, registry.Options{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// saying returns an index that claims, like its images, to be of a commit.
func saying(t *testing.T, idx v1.ImageIndex, commit string) v1.ImageIndex {
	t.Helper()
	const revision = "org.opencontainers.image.revision"
	images, err := registry.Images(idx)
	if err != nil {
		t.Fatal(err)
	}
	for i, img := range images {
		config, err := img.Image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config = config.DeepCopy()
		config.Config.Labels[revision] = commit
		if images[i].Image, err = mutate.ConfigFile(img.Image, config); err != nil {
			t.Fatal(err)
		}
	}
	manifest, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	about := manifest.DeepCopy().Annotations
	about[revision] = commit
	claiming, err := registry.Index(slices.Clone(images), nil)
	if err != nil {
		t.Fatal(err)
	}
	return mutate.Annotations(claiming, about).(v1.ImageIndex)
}
