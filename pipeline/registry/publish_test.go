package registry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

func TestWhatIsPublishedIsWhatWasBooted(t *testing.T) {
	reg := newFaulty(t)
	idx, booted := index(t)
	var log steps
	done, err := registry.Publish(t.Context(), idx, []registry.Target{reg.target(t, "lsio/netbox:4.7.3")},
		registry.Options{Booted: booted, Step: log.step})
	must(t, err)
	digest, err := idx.Digest()
	must(t, err)
	if len(done) != 1 || done[0].Digest != digest || done[0].Blobs != 6 || done[0].Bytes == 0 || done[0].Unchanged {
		t.Errorf("published %+v", done)
	}

	ref, err := name.NewTag(reg.host + "/lsio/netbox:4.7.3")
	must(t, err)
	pulled, err := remote.Index(ref)
	must(t, err)
	must(t, validate.Index(pulled))
	images, err := registry.Images(pulled)
	must(t, err)
	for _, img := range images {
		got, err := img.Image.Digest()
		must(t, err)
		if want := booted[registry.Key(img.Platform)]; got != want {
			t.Errorf("%s: pulled %s, booted %s", img.Platform, got, want)
		}
	}
	if !strings.Contains(log.String(), "pulled back "+digest.String()+" whole: 2 images, 6 blobs") {
		t.Errorf("the log does not tell of the pull-back:\n%s", &log)
	}
}

func TestTheTagsAreTheVeryLastThingsWritten(t *testing.T) {
	reg := newFaulty(t)
	idx, _ := index(t)
	_, err := registry.Publish(t.Context(), idx, []registry.Target{reg.target(t, "a/netbox:1"), reg.target(t, "b/netbox:2")}, registry.Options{})
	must(t, err)
	isTag := func(r string) bool { return r == "PUT /v2/a/netbox/manifests/1" || r == "PUT /v2/b/netbox/manifests/2" }
	all := reg.asked("PUT", "PATCH", "POST", "GET")
	first := slices.IndexFunc(all, isTag)
	if first < 0 {
		t.Fatalf("no tag was set: %q", all)
	}
	read := 0
	for _, r := range all[:first] {
		if strings.HasPrefix(r, "GET ") && strings.Contains(r, "/blobs/") {
			read++
		}
	}
	if read != 12 {
		t.Errorf("%d blobs were read back before the first tag was set, want 6 from each repository", read)
	}
	for _, r := range all[first:] {
		if !isTag(r) && !strings.HasPrefix(r, "GET ") {
			t.Errorf("after the first tag was set there came %s", r)
		}
	}
}

func TestPublishingAgainSendsNothingAndSaysSo(t *testing.T) {
	reg := newFaulty(t)
	idx, booted := index(t)
	targets := []registry.Target{reg.target(t, "netbox:1"), reg.target(t, "netbox:latest")}
	_, err := registry.Publish(t.Context(), idx, targets, registry.Options{Booted: booted})
	must(t, err)
	reg.asked()

	var log steps
	done, err := registry.Publish(t.Context(), idx, targets, registry.Options{Booted: booted, Step: log.step})
	must(t, err)
	if sent := reg.asked("PUT", "PATCH", "POST"); len(sent) > 0 {
		t.Errorf("the second run sent %q", sent)
	}
	for _, p := range done {
		if !p.Unchanged || p.Blobs != 0 || p.Bytes != 0 {
			t.Errorf("%s: %+v, want unchanged", p.Target, p)
		}
	}
	if n := strings.Count(log.String(), "already: nothing to do"); n != 2 {
		t.Errorf("said %d times that there is nothing to do:\n%s", n, &log)
	}
}

func TestAnInterruptedRunIsResumedWithWhatIsThere(t *testing.T) {
	reg := newFaulty(t)
	idx, _ := index(t)
	targets := []registry.Target{reg.target(t, "netbox:1")}
	reg.with(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
			http.Error(w, "read only", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
	_, err := registry.Publish(t.Context(), idx, targets, registry.Options{})
	wantError(t, err, "sending the manifest for linux/amd64", "405 Method Not Allowed")

	reg.with(nil)
	reg.asked()
	_, err = registry.Publish(t.Context(), idx, targets, registry.Options{})
	must(t, err)
	if sent := reg.asked("PATCH"); len(sent) > 0 {
		t.Errorf("blobs were sent again: %q", sent)
	}
}

func TestRepositoriesOfOneRegistryShareBlobs(t *testing.T) {
	reg := newFaulty(t, ggcr.WithBlobHandler(newScoped()))
	idx, _ := index(t)
	targets := []registry.Target{reg.target(t, "first/netbox"), reg.target(t, "second/netbox")}
	_, err := registry.Publish(t.Context(), idx, targets, registry.Options{})
	must(t, err)
	mounts := 0
	for _, r := range reg.asked("POST") {
		if strings.HasPrefix(r, "POST /v2/second/netbox/") {
			if !strings.Contains(r, "from=first%2Fnetbox&mount=sha256%3A") {
				t.Errorf("no mount was asked for by %s", r)
			}
			mounts++
		}
	}
	if mounts != 6 {
		t.Errorf("%d blobs were offered to the second repository, want 6", mounts)
	}
}

func TestBlobsGoOnceToARegistryWhoseRepositoriesShareThem(t *testing.T) {
	reg := newFaulty(t)
	idx, _ := index(t)
	targets := []registry.Target{reg.target(t, "first/netbox"), reg.target(t, "second/netbox"), reg.target(t, "second/netbox:1")}
	_, err := registry.Publish(t.Context(), idx, targets, registry.Options{})
	must(t, err)
	if sent := reg.asked("PATCH"); len(sent) != 6 {
		t.Errorf("%d blobs were sent, want 6: %q", len(sent), sent)
	}
}

// scoped keeps blobs for each repository apart, as public registries do.
type scoped struct{ ggcr.BlobHandler }

func newScoped() scoped { return scoped{ggcr.NewInMemoryBlobHandler()} }

func (s scoped) key(repo string, h v1.Hash) v1.Hash {
	return v1.Hash{Algorithm: strings.TrimSuffix(repo, "/blobs"), Hex: h.Hex}
}

func (s scoped) Stat(ctx context.Context, repo string, h v1.Hash) (int64, error) {
	return s.BlobHandler.(ggcr.BlobStatHandler).Stat(ctx, repo, s.key(repo, h))
}

func (s scoped) Get(ctx context.Context, repo string, h v1.Hash) (io.ReadCloser, error) {
	return s.BlobHandler.Get(ctx, repo, s.key(repo, h))
}

func (s scoped) Put(ctx context.Context, repo string, h v1.Hash, rc io.ReadCloser) error {
	return s.BlobHandler.(ggcr.BlobPutHandler).Put(ctx, repo, s.key(repo, h), rc)
}

// A fault is put into a registry beside a healthy one: in the end both are as
// they were, or the run came through.
func TestFaults(t *testing.T) {
	onBlobGet := func(fault func(w http.ResponseWriter, body []byte)) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/sha256:") {
				next.ServeHTTP(w, r)
				return
			}
			answer := httptest.NewRecorder()
			next.ServeHTTP(answer, r)
			fault(w, answer.Body.Bytes())
		}
	}
	always := func(status int, header http.Header) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			for k, v := range header {
				w.Header()[k] = v
			}
			w.WriteHeader(status)
		}
	}
	on := func(method, part string, fault func(http.ResponseWriter, *http.Request, http.Handler)) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Method == method && strings.Contains(r.URL.Path, part) {
				fault(w, r, next)
				return
			}
			next.ServeHTTP(w, r)
		}
	}
	// once makes a fault hit the first request of each kind: asking for, opening,
	// filling and closing a blob, reading it back, and the same of manifests.
	once := func(fault func(http.ResponseWriter, *http.Request, http.Handler)) func(http.ResponseWriter, *http.Request, http.Handler) {
		seen := newSet()
		return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			kind := r.Method + path.Base(path.Dir(r.URL.Path))
			if r.URL.Path != "/v2/" && seen.add(kind) {
				fault(w, r, next)
				return
			}
			next.ServeHTTP(w, r)
		}
	}
	forget := func(code string) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Method != http.MethodPatch && r.Method != http.MethodPut {
				next.ServeHTTP(w, r)
				return
			}
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"not here"}]}`, code)
		}
	}
	reset := func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}

	for _, c := range []struct {
		name  string
		spoil func(http.ResponseWriter, *http.Request, http.Handler)
		error []string      // empty: the run comes through
		waits int           // at least so many
		wait  time.Duration // one of them at least so long
	}{
		{name: "a blob comes back with a flipped bit",
			spoil: onBlobGet(func(w http.ResponseWriter, body []byte) { body[len(body)/2] ^= 1; w.Write(body) }),
			error: []string{"pulling back blob sha256:", "error verifying sha256 checksum", "delete it there and publish again"}},
		{name: "a blob comes back too short",
			spoil: onBlobGet(func(w http.ResponseWriter, body []byte) { w.Write(body[:len(body)-1]) }),
			error: []string{"pulling back blob sha256:"}},
		{name: "a blob is gone when it is pulled back",
			spoil: onBlobGet(func(w http.ResponseWriter, _ []byte) { w.WriteHeader(http.StatusNotFound) }),
			error: []string{"pulling back blob sha256:", "404 Not Found"}},
		{name: "another manifest comes back",
			spoil: on(http.MethodGet, "/manifests/", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
				fmt.Fprint(w, `{"schemaVersion":2,"manifests":[]}`)
			}),
			error: []string{"pulling back the index"}},
		{name: "500 for ever", spoil: always(500, nil), waits: 4, wait: 100 * time.Second,
			error: []string{"the registry answered 500 Internal Server Error, 5 times in"}},
		{name: "the tag cannot be set", spoil: on(http.MethodPut, "/manifests/new", always(503, nil)), waits: 4,
			error: []string{"moving the tag: the registry answered 503", "5 times"}},
		{name: "429 that asks for half a day", spoil: always(429, http.Header{"Retry-After": {"43200"}}),
			error: []string{"429 Too Many Requests; the registry asks to come back in 12h0m0s"}},
		{name: "403", spoil: on(http.MethodPost, "/uploads", always(403, nil)),
			error: []string{"403 Forbidden", "docker login"}},
		{name: "429 at first", spoil: once(always(429, http.Header{"Retry-After": {"42"}})), waits: 6, wait: 42 * time.Second},
		{name: "429 with a date", spoil: once(always(429, http.Header{"Retry-After": {"Fri, 02 Jan 2026 03:05:05 GMT"}})), waits: 6, wait: time.Minute},
		{name: "408 at first", spoil: once(always(408, nil)), waits: 6},
		{name: "502 at first", spoil: once(always(502, nil)), waits: 6},
		{name: "an upload is forgotten at first", spoil: once(forget("BLOB_UPLOAD_UNKNOWN")), waits: 2},
		{name: "blobs are not seen at first when a manifest names them", spoil: on(http.MethodPut, "/manifests/sha256:", once(forget("MANIFEST_BLOB_UNKNOWN"))), waits: 1},
		{name: "nobody can say whether a blob is there", spoil: on(http.MethodHead, "/blobs/", always(500, nil)), waits: 6},
		{name: "nobody can say where the tag points", spoil: on(http.MethodHead, "/manifests/new", once(always(500, nil))), waits: 1},
		{name: "connections are reset at first", spoil: once(reset), waits: 3},
		{name: "a blob breaks off at first when it comes back", waits: 1,
			spoil: once(onBlobGet(func(w http.ResponseWriter, body []byte) {
				w.Header().Set("Content-Length", fmt.Sprint(len(body)))
				w.Write(body[:len(body)/2])
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}))},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			healthy, sick := newFaulty(t), newFaulty(t)
			old, _ := index(t)
			targets := []registry.Target{healthy.target(t, "netbox:new"), sick.target(t, "netbox:new")}
			_, err := registry.Publish(t.Context(), old, targets, registry.Options{})
			must(t, err)
			was, err := old.Digest()
			must(t, err)

			sick.with(c.spoil)
			var w waits
			idx, booted := index(t)
			now, err := idx.Digest()
			must(t, err)
			_, err = registry.Publish(t.Context(), idx, targets, registry.Options{Booted: booted, Clock: w.clock(), Move: true})

			want := was.String()
			if len(c.error) == 0 {
				must(t, err)
				want = now.String()
			} else {
				wantError(t, err, append(c.error, sick.host)...)
			}
			if got := sick.tag(t, "netbox:new"); got != want {
				t.Errorf("the tag on the sick registry is %s, want %s", got, want)
			}
			if strings.HasPrefix(c.name, "the tag") {
				want = now.String() // its own tag could be set, and all under it is whole
			}
			if got := healthy.tag(t, "netbox:new"); got != want {
				t.Errorf("the tag on the healthy registry is %s, want %s", got, want)
			}
			if len(w.all) < c.waits {
				t.Errorf("waited %v, want at least %d waits", w.all, c.waits)
			}
			if c.wait > 0 && (len(w.all) == 0 || slices.Max(w.all) < c.wait) {
				t.Errorf("waited %v, want one of at least %s", w.all, c.wait)
			}
			if len(c.error) == 0 {
				return
			}
			// Once the registry is well again, the next run completes.
			_, err = registry.Publish(t.Context(), idx, targets, registry.Options{Booted: booted, Move: true})
			must(t, err)
			if got := sick.tag(t, "netbox:new"); got != now.String() {
				t.Errorf("after the second run the tag is %s, want %s", got, now)
			}
		})
	}
}

func TestAllSickRegistriesAreNamed(t *testing.T) {
	one, two := newFaulty(t), newFaulty(t)
	sick := func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(http.StatusForbidden) }
	one.with(sick)
	two.with(sick)
	idx, _ := index(t)
	_, err := registry.Publish(t.Context(), idx, []registry.Target{one.target(t, "netbox"), two.target(t, "netbox")}, registry.Options{})
	if err == nil || !strings.Contains(err.Error(), one.host+"/netbox") || !strings.Contains(err.Error(), two.host+"/netbox") {
		t.Errorf("error %q, want both registries named", err)
	}
}

func TestAnotherImageThanTheBootedOneIsRefusedBeforeAnythingIsSent(t *testing.T) {
	reg := newFaulty(t)
	idx, booted := index(t)
	_, other := index(t)
	publish := func(booted map[string]v1.Hash) error {
		_, err := registry.Publish(t.Context(), idx, []registry.Target{reg.target(t, "netbox")}, registry.Options{Booted: booted})
		return err
	}
	wantError(t, publish(map[string]v1.Hash{"linux/amd64": booted["linux/amd64"], "linux/arm64": other["linux/arm64"]}),
		"linux/arm64", booted["linux/arm64"].String(), "the one that was booted is "+other["linux/arm64"].String())
	wantError(t, publish(map[string]v1.Hash{"linux/amd64": booted["linux/amd64"]}), "linux/arm64", "was not booted")
	wantError(t, publish(map[string]v1.Hash{}), "was not booted")
	wantError(t, publish(map[string]v1.Hash{"linux/amd64": booted["linux/amd64"], "linux/arm64": booted["linux/arm64"], "linux/riscv64": {}}),
		"3 images were booted, but the index has only 2")
	if asked := reg.asked("GET", "HEAD", "POST", "PUT", "PATCH"); len(asked) > 0 {
		t.Errorf("the registry was asked %q", asked)
	}
}

func TestAnImageWhoseLayersAreNotWhatItsConfigurationSaysGetsNoTag(t *testing.T) {
	img := image(t, amd64)
	config, err := img.ConfigFile()
	must(t, err)
	config = config.DeepCopy()
	config.RootFS.DiffIDs[1] = config.RootFS.DiffIDs[0]
	img, err = mutate.ConfigFile(img, config)
	must(t, err)
	idx, err := registry.Index([]registry.PlatformImage{{Platform: amd64, Image: img}}, registry.About{})
	must(t, err)
	reg := newFaulty(t)
	_, err = registry.Publish(t.Context(), idx, []registry.Target{reg.target(t, "netbox")}, registry.Options{})
	wantError(t, err, "layer 1 for linux/amd64 unpacks to sha256:", "but the image's configuration says sha256:")
	if tag := reg.tag(t, "netbox:latest"); tag != "" {
		t.Errorf("the tag points at %s", tag)
	}
}

func TestInterruptionStopsAtOnceAndMovesNoTag(t *testing.T) {
	reg := newFaulty(t)
	idx, _ := index(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var puts atomic.Int64
	reg.with(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPut && puts.Add(1) == 3 {
			cancel()
		}
		next.ServeHTTP(w, r)
	})
	_, err := registry.Publish(ctx, idx, []registry.Target{reg.target(t, "netbox")}, registry.Options{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want an interruption", err)
	}
	if tag := reg.tag(t, "netbox:latest"); tag != "" {
		t.Errorf("the tag points at %s", tag)
	}
}

func TestCredentialsComeFromTheKeychainAndAreNeverTold(t *testing.T) {
	reg := newFaulty(t)
	reg.with(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if user, password, _ := r.BasicAuth(); user != "robot" || password != "sesame" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
	idx, _ := index(t)
	publish := func(password string) (string, error) {
		var log steps
		_, err := registry.Publish(t.Context(), idx, []registry.Target{reg.target(t, "netbox")}, registry.Options{
			Keychain: keychain{authn.FromConfig(authn.AuthConfig{Username: "robot", Password: password})}, Step: log.step})
		return log.String(), err
	}
	log, err := publish("simsalabim")
	wantError(t, err, "401 Unauthorized", "docker login")
	if strings.Contains(log+err.Error(), "simsalabim") {
		t.Errorf("the password was told: %s %v", log, err)
	}
	_, err = publish("sesame")
	must(t, err)
}

type keychain struct{ authn.Authenticator }

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) { return k.Authenticator, nil }

func TestTokensInAddressesAreNeverTold(t *testing.T) {
	reg := newFaulty(t)
	reg.with(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		switch r.Method {
		case http.MethodPost:
			w.Header().Set("Location", "/v2/netbox/blobs/uploads/1?_state=sesame")
			w.WriteHeader(http.StatusAccepted)
		case http.MethodPatch:
			panic(http.ErrAbortHandler)
		default:
			next.ServeHTTP(w, r)
		}
	})
	idx, _ := index(t)
	var log steps
	var w waits
	_, err := registry.Publish(t.Context(), idx, []registry.Target{reg.target(t, "netbox")}, registry.Options{Clock: w.clock(), Step: log.step})
	wantError(t, err, "sending blob", "5 times")
	if !strings.Contains(log.String(), "/blobs/uploads/1\"") || strings.Contains(log.String()+err.Error(), "sesame") {
		t.Errorf("error %v, log\n%s", err, &log)
	}
}

func TestPlainHTTPStaysOnLoopbackUnlessAskedFor(t *testing.T) {
	idx, _ := index(t)
	for target, want := range map[string]bool{
		"10.1.2.3:5000/netbox":             false,
		"registry.example/netbox":          false,
		"http://10.1.2.3:5000/netbox":      true,
		"http://registry.example/netbox:1": true,
		"127.0.0.1:5000/netbox":            true,
		"127.9.9.9:5000/netbox":            true,
		"localhost:5000/netbox":            true,
	} {
		parsed, err := registry.ParseTarget(target)
		must(t, err)
		var plain atomic.Bool
		_, err = registry.Publish(t.Context(), idx, []registry.Target{parsed}, registry.Options{
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.URL.Scheme == "http" {
					plain.Store(true)
				}
				return nil, errors.New("no network in this test")
			}), Clock: new(waits).clock(),
		})
		if err == nil || plain.Load() != want {
			t.Errorf("%s: plain http %t, want %t (%v)", target, plain.Load(), want, err)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// tags gives what each of the tags points at.
func (f *faulty) tags(t *testing.T, repository string, tags ...string) (digests []string) {
	t.Helper()
	for _, tag := range tags {
		digests = append(digests, f.tag(t, repository+":"+tag))
	}
	return digests
}

// refuse answers every request of a kind with a status.
func refuse(status int, method, pathEnd string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == method && strings.HasSuffix(r.URL.Path, pathEnd) {
			w.WriteHeader(status)
			return
		}
		next.ServeHTTP(w, r)
	}
}

func TestLatestMovesOnlyWhenEveryRegistryHasEveryVersion(t *testing.T) {
	one, two := newFaulty(t), newFaulty(t)
	two.with(refuse(http.StatusForbidden, http.MethodPut, "/manifests/4.7.3"))
	idx, booted := index(t)
	digest, err := idx.Digest()
	must(t, err)
	var targets []registry.Target
	for _, reg := range []*faulty{one, two} {
		targets = append(targets, reg.target(t, "netbox:latest"), reg.target(t, "netbox:amd64-latest").For("linux/amd64"),
			reg.target(t, "netbox:4.7.3"), reg.target(t, "netbox:version-v4.7.3"))
	}
	done, err := registry.Publish(t.Context(), idx, targets, registry.Options{Booted: booted})
	wantError(t, err, two.host+"/netbox:4.7.3: moving the tag", "403")
	if got := one.tags(t, "netbox", "4.7.3", "version-v4.7.3", "latest", "amd64-latest"); !slices.Equal(got, []string{digest.String(), digest.String(), "", ""}) {
		t.Errorf("on the healthy registry the tags are %q", got)
	}
	if len(done) != 2 { // both versions on the healthy one
		t.Errorf("said to be published: %+v", done)
	}
	for _, p := range done {
		if p.Digest != digest || p.Err != nil || strings.HasSuffix(p.Target.String(), "latest") {
			t.Errorf("said to be published: %+v", p)
		}
	}
	two.with(nil)
	one.asked()
	done, err = registry.Publish(t.Context(), idx, targets, registry.Options{Booted: booted})
	must(t, err)
	if len(done) != 8 {
		t.Errorf("the second run published %d targets, want 8", len(done))
	}
	if puts := one.asked("PUT"); len(puts) != 2 {
		t.Errorf("the second run wrote %q, want the two latest tags", puts)
	}
}

func TestAnOptionalRegistryFailsNothingElseAndIsReported(t *testing.T) {
	for name, spoil := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"at once":               refuse(http.StatusForbidden, http.MethodGet, "/v2/"),
		"when blobs are sent":   refuse(http.StatusForbidden, http.MethodPost, "/uploads/"),
		"when a tag is to move": refuse(http.StatusForbidden, http.MethodPut, "/manifests/1"),
		"at the last tag":       refuse(http.StatusForbidden, http.MethodPut, "/manifests/latest"),
	} {
		t.Run(name, func(t *testing.T) {
			good, bad := newFaulty(t), newFaulty(t)
			bad.with(spoil)
			idx, _ := index(t)
			digest, err := idx.Digest()
			must(t, err)
			targets := []registry.Target{good.target(t, "netbox:1"), good.target(t, "netbox:latest"), bad.target(t, "netbox:1"), bad.target(t, "netbox:latest")}
			var shown steps
			done, err := registry.Publish(t.Context(), idx, targets, registry.Options{Optional: []string{bad.host}, Step: shown.step})
			must(t, err)
			if got := good.tags(t, "netbox", "1", "latest"); !slices.Equal(got, []string{digest.String(), digest.String()}) {
				t.Errorf("on the healthy registry the tags are %q", got)
			}
			if bad.tag(t, "netbox:latest") != "" {
				t.Error("latest was moved on the failing registry")
			}
			failed := 0
			for _, p := range done {
				if p.Err != nil {
					failed++
					if !strings.HasPrefix(p.Target.String(), bad.host) {
						t.Errorf("%s failed: %v", p.Target, p.Err)
					}
					wantError(t, p.Err, bad.host, "403 Forbidden")
				}
			}
			if len(done) != 4 || failed == 0 {
				t.Errorf("published %+v", done)
			}
			if shown.ends[good.host] != nil || shown.ends[bad.host] == nil {
				t.Errorf("the steps ended with %v", shown.ends)
			}

			bad.with(nil)
			_, err = registry.Publish(t.Context(), idx, targets, registry.Options{Optional: []string{bad.host}})
			must(t, err)
			if got := bad.tags(t, "netbox", "1", "latest"); !slices.Equal(got, []string{digest.String(), digest.String()}) {
				t.Errorf("once it is well again the tags are %q", got)
			}
		})
	}
}

func TestWhatARequiredRegistryLacksMovesNoTagOnAnOptionalOne(t *testing.T) {
	required, optional := newFaulty(t), newFaulty(t)
	required.with(refuse(http.StatusForbidden, http.MethodPost, "/uploads/"))
	idx, _ := index(t)
	_, err := registry.Publish(t.Context(), idx, []registry.Target{required.target(t, "netbox:1"), optional.target(t, "netbox:1")},
		registry.Options{Optional: []string{optional.host}})
	wantError(t, err, required.host, "403")
	if tag := optional.tag(t, "netbox:1"); tag != "" {
		t.Errorf("the tag points at %s", tag)
	}
}

func TestAnOptionalRegistryHasToBeOneAndNotTheOnlyOne(t *testing.T) {
	reg := newFaulty(t)
	idx, _ := index(t)
	for host, want := range map[string]string{"quay.io": `"quay.io" is optional, but nothing goes there`, reg.host: "every registry is optional"} {
		_, err := registry.Publish(t.Context(), idx, []registry.Target{reg.target(t, "netbox:1")}, registry.Options{Optional: []string{host}})
		wantError(t, err, want)
		if failure.ExitCode(err) != failure.ExitUsage {
			t.Errorf("%v: exit status %d", err, failure.ExitCode(err))
		}
	}
	if sent := reg.asked("GET", "HEAD", "PUT", "POST", "PATCH"); len(sent) > 0 {
		t.Errorf("the registry was asked %q", sent)
	}
}

func TestProgressIsToldInBytesOfEachRegistry(t *testing.T) {
	one, two := newFaulty(t), newFaulty(t)
	idx, _ := index(t)
	var tick atomic.Int64 // every look at the clock is a second later
	clock := registry.Clock{Now: func() time.Time { return time.Unix(tick.Add(1), 0) }}
	var shown steps
	_, err := registry.Publish(t.Context(), idx, []registry.Target{one.target(t, "netbox:1"), two.target(t, "netbox:1")}, registry.Options{Step: shown.step, Clock: clock})
	must(t, err)
	for _, reg := range []*faulty{one, two} {
		for _, doing := range []string{"sending to", "pulling back from"} {
			want := fmt.Sprintf("%s: %s %[1]s/netbox: 0.1 of 0.1 MB", reg.host, doing)
			if !slices.Contains(shown.shown, want) {
				t.Errorf("%q was never shown, but %q", want, shown.shown)
			}
		}
		if end, ended := shown.ends[reg.host]; !ended || end != nil {
			t.Errorf("the step of %s ended: %t, %v", reg.host, ended, end)
		}
	}
	if !strings.Contains(shown.String(), " of 0.1 MB\n") {
		t.Errorf("no line of log tells how far it is:\n%s", &shown)
	}
}

func TestATagThatAnotherRunMovesMeanwhileIsNotSaidToBeOurs(t *testing.T) {
	reg := newFaulty(t)
	idx, _ := index(t)
	other, _ := index(t)
	_, err := registry.Publish(t.Context(), other, []registry.Target{reg.target(t, "netbox:other")}, registry.Options{})
	must(t, err)
	raw, err := other.RawManifest()
	must(t, err)
	reg.with(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/manifests/1") {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(string(raw))), int64(len(raw))
		}
		next.ServeHTTP(w, r)
	})
	done, err := registry.Publish(t.Context(), idx, []registry.Target{reg.target(t, "netbox:1")}, registry.Options{})
	wantError(t, err, "netbox:1: asking for the tag 1: it was set to", "another run publishes to it too")
	if len(done) != 0 {
		t.Errorf("said to be published: %+v", done)
	}
}

func TestARegistryThatStallsIsADroppedConnection(t *testing.T) {
	for name, at := range map[string]string{"at its greeting": "/v2/", "at a blob": "/blobs/sha256:", "at a tag": "/manifests/1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := newFaulty(t)
			var stalled atomic.Bool
			reg.with(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if (r.URL.Path == at || at != "/v2/" && strings.Contains(r.URL.Path, at)) && stalled.CompareAndSwap(false, true) {
					<-r.Context().Done()
					return
				}
				next.ServeHTTP(w, r)
			})
			idx, _ := index(t)
			var w waits
			start := time.Now()
			_, err := registry.Publish(t.Context(), idx, []registry.Target{reg.target(t, "netbox:1")}, registry.Options{Clock: w.clock(), Stall: time.Second})
			must(t, err)
			if took := time.Since(start); !stalled.Load() || took < time.Second {
				t.Errorf("it took %s, stalled %t", took, stalled.Load())
			}
		})
	}
}
