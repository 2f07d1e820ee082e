package attest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/linuxserver/docker-netbox/pipeline/attest"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/registry/registrytest"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

const (
	commit = "0123456789abcdef0123456789abcdef01234567"
	source = "https://github.com/linuxserver/docker-netbox"
)

var platforms = []v1.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64", Variant: "v8"}}

// image returns an image of two layers, with labels for its version and commit.
func image(t testing.TB, platform v1.Platform, version string) v1.Image {
	t.Helper()
	return registrytest.Image(t, platform, map[string]string{
		"org.opencontainers.image.version": version, "org.opencontainers.image.revision": commit, "org.opencontainers.image.source": source,
	}, registrytest.Layer(t, 500), registrytest.Layer(t, 500))
}

// index returns an index with an image for each platform.
func index(t testing.TB) (v1.ImageIndex, []registry.PlatformImage) {
	t.Helper()
	var images []registry.PlatformImage
	for _, p := range platforms {
		images = append(images, registry.PlatformImage{Platform: p, Image: image(t, p, "v4.7.3-ls1")})
	}
	return indexOf(t, images), images
}

func indexOf(t testing.TB, images []registry.PlatformImage) v1.ImageIndex {
	t.Helper()
	idx, err := registry.Index(images, map[string]string{registry.TitleLabel: "netbox", registry.VersionLabel: "v4.7.3-ls1", registry.RevisionLabel: commit, registry.SourceLabel: source, registry.BaseNameLabel: "local"})
	must(t, err)
	return idx
}

// release returns everything to attach to an index of such images.
func release(t testing.TB, idx v1.ImageIndex, signer attest.Signer, repositories ...string) attest.Release {
	t.Helper()
	images, err := registry.Images(idx)
	must(t, err)
	whole, err := idx.Digest()
	must(t, err)
	began := time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)
	r := report.Report{Project: "docker-netbox", Commit: commit, Version: "4.7.3", Engine: "local", Started: began, Seconds: 60}
	out := attest.Release{Signer: signer, Repositories: repositories}
	for _, img := range images {
		digest, err := img.Image.Digest()
		must(t, err)
		key := registry.Key(img.Platform)
		r.Platforms = append(r.Platforms, report.Platform{
			Platform: key, Image: digest.String(), Boot: &report.Boot{FirstOK: 5.1}, Smoke: []report.Check{{Name: "log-in page"}},
		})
		for _, stage := range []string{"boot", "smoke"} {
			r.Expected = append(r.Expected, report.Key{Stage: stage, Platform: key})
			r.Stages = append(r.Stages, report.Stage{Key: report.Key{Stage: stage, Platform: key}, Seconds: 1})
		}
		out.Documents = append(out.Documents,
			report.Document{Name: img.Platform.Architecture + ".spdx.json", Type: sbom.SPDXType, Platform: key, Text: fmt.Appendf(nil,
				`{"spdxVersion":"SPDX-2.3","packages":[{"name":"netbox","versionInfo":"%s","primaryPackagePurpose":"CONTAINER"},{"name":"nginx","versionInfo":"1"}]}`, digest)},
			report.Document{Name: img.Platform.Architecture + ".cdx.json", Type: sbom.CycloneDXType, Platform: key, Text: fmt.Appendf(nil,
				`{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{"component":{"name":"netbox","version":"%s"}},"components":[{"name":"nginx"}]}`, digest)})
	}
	r.Expected = append(r.Expected, report.Key{Stage: "publish"})
	doc, err := attest.ReportDocument(r, whole, func(s string) string { return s })
	must(t, err)
	out.Documents = append(out.Documents, doc)
	out.Provenance = attest.Provenance{
		Definition: attest.Definition{
			BuildType: source + "/build/v1",
			External: attest.External{
				Source: source, Revision: commit, NetBox: "4.7.3", Version: "v4.7.3-ls1", Base: "local", Platforms: []string{"linux/amd64", "linux/arm64"},
			},
			Inputs: []attest.Resource{{URI: "git+" + source, Digest: map[string]string{"gitCommit": commit}}},
		},
		Details: attest.Details{Builder: attest.Builder{ID: source + "/.github/workflows/release.yml@refs/heads/main"}, Metadata: attest.Metadata{Started: began}},
	}
	return out
}

// server is a real registry on loopback that can be set to return damaged blobs.
type server struct {
	host string

	mu      sync.Mutex
	flipped map[v1.Hash]bool
	old     bool // it refuses manifests with both an artifactType and a subject
}

func newServer(t testing.TB, opts ...ggcr.Option) *server {
	t.Helper()
	opts = append([]ggcr.Option{ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true)}, opts...)
	real := ggcr.New(opts...)
	s := &server{flipped: map[v1.Hash]bool{}}
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.old && r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/sha256:") {
			body, err := io.ReadAll(r.Body)
			if err != nil || bytes.Contains(body, []byte(`"subject"`)) && bytes.Contains(body, []byte(`"artifactType"`)) {
				http.Error(w, `{"errors":[{"code":"MANIFEST_INVALID","message":"unknown field artifactType"}]}`, http.StatusBadRequest)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		digest, err := v1.NewHash(r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
		s.mu.Lock()
		flip := err == nil && s.flipped[digest]
		s.mu.Unlock()
		if !flip || r.Method != http.MethodGet {
			real.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		real.ServeHTTP(answer, r)
		body := answer.Body.Bytes()
		body[len(body)/2] ^= 1
		for key, values := range answer.Header() {
			w.Header()[key] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(body)
	}))
	t.Cleanup(listener.Close)
	s.host = listener.Listener.Addr().String()
	return s
}

// flip flips one bit of a blob in every answer.
func (s *server) flip(digest v1.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flipped[digest] = true
}

func (s *server) repository(t testing.TB) name.Repository {
	t.Helper()
	repo, err := name.NewRepository(s.host + "/lsio/netbox")
	must(t, err)
	return repo
}

// publish pushes an index with its attachments to the tag latest.
func (s *server) publish(t testing.TB, idx v1.ImageIndex, attach func(context.Context, v1.ImageIndex) ([]registry.Attachment, error)) []registry.Published {
	t.Helper()
	target, err := registry.ParseTarget(s.host + "/lsio/netbox:latest")
	must(t, err)
	done, err := registry.Publish(t.Context(), idx, []registry.Target{target}, registry.Options{Attach: attach})
	must(t, err)
	return done
}

// verify verifies the tag latest.
func (s *server) verify(t testing.TB, policy attest.Policy) attest.Result {
	t.Helper()
	return s.verifyAt(t, ":latest", policy)
}

func (s *server) verifyAt(t testing.TB, where string, policy attest.Policy) attest.Result {
	t.Helper()
	reference := s.host + "/lsio/netbox" + where
	at, err := registry.Source{}.Open(t.Context(), reference)
	must(t, err)
	result, err := attest.Verify(t.Context(), reference, at, policy)
	must(t, err)
	return result
}

// attached lists what is attached to a digest, by the blob in it.
func (s *server) attached(t testing.TB, subject v1.Hash) map[v1.Hash]v1.Manifest {
	t.Helper()
	repo := s.repository(t)
	found := map[v1.Hash]v1.Manifest{}
	list, err := remote.Referrers(repo.Digest(subject.String()))
	must(t, err)
	manifests, err := list.IndexManifest()
	must(t, err)
	refs := []name.Reference{}
	for _, d := range manifests.Manifests {
		refs = append(refs, repo.Digest(d.Digest.String()))
	}
	tag := repo.Tag(subject.Algorithm + "-" + subject.Hex + ".sig")
	if _, err := remote.Head(tag); err == nil {
		refs = append(refs, tag)
	}
	for _, ref := range refs {
		img, err := remote.Image(ref)
		must(t, err)
		manifest, err := img.Manifest()
		must(t, err)
		found[manifest.Layers[0].Digest] = *manifest
	}
	return found
}

// policy returns a maintainer's policy for a release signed by signer.
func policy(signer attest.Verifier) attest.Policy {
	d := attest.Policy{Platforms: []string{"linux/amd64", "linux/arm64"}, Require: attest.Requirements(), Signer: signer}
	if signer == nil {
		d.Require = nil
	}
	return d
}

// printed returns the text of a result.
func printed(t testing.TB, r attest.Result) string {
	t.Helper()
	var out bytes.Buffer
	must(t, r.Text(&out))
	return out.String()
}

// wantLine checks for a line that contains all parts.
func wantLine(t testing.TB, r attest.Result, verdict attest.Verdict, of, what string, parts ...string) {
	t.Helper()
next:
	for _, l := range r.Lines {
		if l.Verdict != verdict || l.Of != of || l.What != what {
			continue
		}
		for _, part := range parts {
			if !strings.Contains(l.Text, part) {
				continue next
			}
		}
		return
	}
	t.Errorf("no line says %s %s %s %q:\n%s", verdict, of, what, parts, printed(t, r))
}

func asJSON(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	must(t, err)
	return text
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// save writes an index and its attachments to an OCI layout.
func (s *server) save(t testing.TB, dir string, idx v1.ImageIndex) {
	t.Helper()
	must(t, os.RemoveAll(dir))
	path, err := layout.Write(dir, empty.Index)
	must(t, err)
	must(t, path.AppendIndex(idx))
	manifest, err := idx.IndexManifest()
	must(t, err)
	whole, err := idx.Digest()
	must(t, err)
	repo := s.repository(t)
	for _, subject := range []v1.Hash{whole, manifest.Manifests[0].Digest, manifest.Manifests[1].Digest} {
		list, err := remote.Referrers(repo.Digest(subject.String()))
		must(t, err)
		referrers, err := list.IndexManifest()
		must(t, err)
		for _, d := range referrers.Manifests {
			img, err := remote.Image(repo.Digest(d.Digest.String()))
			must(t, err)
			must(t, path.AppendImage(img))
		}
		tag := subject.Algorithm + "-" + subject.Hex + ".sig"
		img, err := remote.Image(repo.Tag(tag))
		must(t, err)
		must(t, path.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag})))
	}
}
