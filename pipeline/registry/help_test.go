package registry_test

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/registry/registrytest"
)

var (
	amd64 = v1.Platform{OS: "linux", Architecture: "amd64"}
	arm64 = v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
)

// image returns an OCI image with two layers for a platform.
func image(t *testing.T, platform v1.Platform) v1.Image {
	t.Helper()
	return registrytest.Image(t, platform, nil, registrytest.Layer(t, 20_000), registrytest.Layer(t, 20_000))
}

// index returns the index of an amd64 and an arm64 image, and their digests.
func index(t *testing.T) (v1.ImageIndex, map[string]v1.Hash) {
	t.Helper()
	images := []registry.PlatformImage{{Platform: amd64, Image: image(t, amd64)}, {Platform: arm64, Image: image(t, arm64)}}
	idx, err := registry.Index(images, map[string]string{registry.TitleLabel: "netbox", registry.VersionLabel: "4.7.3"})
	must(t, err)
	booted := map[string]v1.Hash{}
	for _, img := range images {
		digest, err := img.Image.Digest()
		must(t, err)
		booted[registry.Key(img.Platform)] = digest
	}
	return idx, booted
}

// faulty is a real registry behind a handler that can inject faults.
type faulty struct {
	host string

	mu       sync.Mutex
	spoil    func(w http.ResponseWriter, r *http.Request, next http.Handler)
	requests []string // METHOD URI
}

func newFaulty(t *testing.T, opts ...ggcr.Option) *faulty {
	t.Helper()
	opts = append([]ggcr.Option{ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true)}, opts...)
	real := ggcr.New(opts...)
	f := &faulty{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.requests = append(f.requests, r.Method+" "+r.URL.RequestURI())
		spoil := f.spoil
		f.mu.Unlock()
		if spoil == nil {
			real.ServeHTTP(w, r)
			return
		}
		spoil(w, r, real)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	f.host = server.Listener.Addr().String()
	return f
}

// setFault sets the handler of the following requests; nil removes it.
func (f *faulty) setFault(spoil func(w http.ResponseWriter, r *http.Request, next http.Handler)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.spoil = spoil
}

// takeRequests returns the requests so far with one of the methods, and clears all.
func (f *faulty) takeRequests(methods ...string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, r := range f.requests {
		for _, m := range methods {
			if strings.HasPrefix(r, m+" ") {
				out = append(out, r)
			}
		}
	}
	f.requests = nil
	return out
}

func (f *faulty) target(t *testing.T, nameAndTag string) registry.Target {
	t.Helper()
	target, err := registry.ParseTarget(f.host + "/" + nameAndTag)
	must(t, err)
	return target
}

// tag returns the digest a tag points at, or "" when there is no such tag.
func (f *faulty) tag(t *testing.T, nameAndTag string) string {
	t.Helper()
	f.setFault(nil)
	ref, err := name.NewTag(f.host + "/" + nameAndTag)
	must(t, err)
	desc, err := remote.Head(ref)
	if err != nil {
		return ""
	}
	return desc.Digest.String()
}

// fakeClock is a clock that stands still and records the waits.
type fakeClock struct {
	mu  sync.Mutex
	all []time.Duration
}

func (w *fakeClock) clock() registry.Clock {
	return registry.Clock{
		Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) },
		Sleep: func(ctx context.Context, d time.Duration) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.all = append(w.all, d)
			return ctx.Err()
		},
	}
}

// steps records what Publish shows, for all registries.
type steps struct {
	mu    sync.Mutex
	lines bytes.Buffer
	shown []string
	ends  map[string]error
}

func (s *steps) step(host string) registry.Step { return &step{s, host} }

type step struct {
	steps *steps
	host  string
}

func (s *step) Write(b []byte) (int, error) {
	s.steps.mu.Lock()
	defer s.steps.mu.Unlock()
	return s.steps.lines.Write(b)
}

func (s *step) Show(text string) {
	s.steps.mu.Lock()
	defer s.steps.mu.Unlock()
	s.steps.shown = append(s.steps.shown, s.host+": "+text)
}

func (s *step) End(err error) {
	s.steps.mu.Lock()
	defer s.steps.mu.Unlock()
	if s.steps.ends == nil {
		s.steps.ends = map[string]error{}
	}
	s.steps.ends[s.host] = err
}

func (s *steps) String() string { return s.lines.String() }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError checks that err is a single line that contains all parts.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one saying %q", parts)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("not one line: %q", err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

// set is a set of strings for concurrent use.
type set struct {
	mu   sync.Mutex
	seen map[string]bool
}

func newSet() *set { return &set{seen: map[string]bool{}} }

// add reports whether key was not in the set.
func (s *set) add(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.seen[key]
	s.seen[key] = true
	return !was
}
