package registry_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/registry/registrytest"
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
		t.Errorf("the log does not mention the pull-back:\n%s", &log)
	}
}

func TestTagsAreWrittenLast(t *testing.T) {
	reg := newFaulty(t)
	idx, _ := index(t)
	_, err := registry.Publish(t.Context(), idx, []registry.Target{reg.target(t, "a/netbox:1"), reg.target(t, "b/netbox:2")}, registry.Options{})
	must(t, err)
	isTag := func(r string) bool { return r == "PUT /v2/a/netbox/manifests/1" || r == "PUT /v2/b/netbox/manifests/2" }
	all := reg.takeRequests("PUT", "PATCH", "POST", "GET")
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

func TestPublishingAgainSendsNothingAndReportsIt(t *testing.T) {
	reg := newFaulty(t)
	idx, booted := index(t)
	targets := []registry.Target{reg.target(t, "netbox:1"), reg.target(t, "netbox:latest")}
	_, err := registry.Publish(t.Context(), idx, targets, registry.Options{Booted: booted})
	must(t, err)
	reg.takeRequests()

	var log steps
	done, err := registry.Publish(t.Context(), idx, targets, registry.Options{Booted: booted, Step: log.step})
	must(t, err)
	if sent := reg.takeRequests("PUT", "PATCH", "POST"); len(sent) > 0 {
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
	reg.setFault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
			http.Error(w, "read only", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
	_, err := registry.Publish(t.Context(), idx, targets, registry.Options{})
	wantError(t, err, "sending the manifest for linux/amd64", "405 Method Not Allowed")

	reg.setFault(nil)
	reg.takeRequests()
	_, err = registry.Publish(t.Context(), idx, targets, registry.Options{})
	must(t, err)
	if sent := reg.takeRequests("PATCH"); len(sent) > 0 {
		t.Errorf("blobs were sent again: %q", sent)
	}
}

func TestRepositoriesOfOneRegistryShareBlobs(t *testing.T) {
	reg := newFaulty(t, ggcr.WithBlobHandler(newScoped()))
	idx, _ := index(t)
	reg.setFault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		switch {
		case r.URL.Path == "/token":
			fmt.Fprint(w, `{"token":"x"}`)
		case r.Header.Get("Authorization") == "":
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token"`, reg.host))
			w.WriteHeader(http.StatusUnauthorized)
		default:
			next.ServeHTTP(w, r)
		}
	})
	targets := []registry.Target{reg.target(t, "first/netbox"), reg.target(t, "second/netbox")}
	_, err := registry.Publish(t.Context(), idx, targets, registry.Options{})
	must(t, err)
	mounts, both := 0, false
	for _, r := range reg.takeRequests("POST", "GET") {
		scopes, _ := url.QueryUnescape(r)
		both = both || strings.Contains(scopes, "repository:second/netbox:push,pull") && strings.Contains(scopes, "repository:first/netbox:pull")
		if strings.HasPrefix(r, "POST /v2/second/netbox/") {
			if !strings.Contains(r, "from=first%2Fnetbox&mount=sha256%3A") {
				t.Errorf("no mount was asked for by %s", r)
			}
			mounts++
		}
	}
	if !both {
		t.Error("no token was asked for that may mount")
	}
	if mounts != 6 {
		t.Errorf("%d blobs were offered to the second repository, want 6", mounts)
	}
}

func TestBlobsGoOnceToARegistryWhoseRepositoriesShareThem(t *testing.T) {
	reg := newFaulty(t)
	idx, _ := index(t)
	targets := []registry.Target{reg.target(t, "first/netbox"), reg.target(t, "second/netbox"), reg.target(t, "second/netbox:1")}
	var shown steps
	_, err := registry.Publish(t.Context(), idx, targets, registry.Options{Step: shown.step})
	must(t, err)
	if len(shown.ends) != 2 {
		t.Errorf("two repositories have the same step: %v", shown.ends)
	}
	if sent := reg.takeRequests("PATCH"); len(sent) != 6 {
		t.Errorf("%d blobs were sent, want 6: %q", len(sent), sent)
	}
}

func TestAFailingRepositoryDoesNotStopTheOthersOfItsRegistry(t *testing.T) {
	reg := newFaulty(t)
	idx, _ := index(t)
	reg.setFault(refuse(http.StatusForbidden, http.MethodPost, "/v2/first/netbox/blobs/uploads/"))
	_, err := registry.Publish(t.Context(), idx, []registry.Target{reg.target(t, "first/netbox"), reg.target(t, "second/netbox")}, registry.Options{})
	wantError(t, err, "first/netbox", "403 Forbidden")
	if sent := reg.takeRequests("PATCH"); len(sent) != 6 {
		t.Errorf("%d blobs were sent to the second repository, want 6: %q", len(sent), sent)
	}
}

// scoped stores the blobs of each repository separately, as public registries do.
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
	if asked := reg.takeRequests("GET", "HEAD", "POST", "PUT", "PATCH"); len(asked) > 0 {
		t.Errorf("the registry was asked %q", asked)
	}
}

func TestAnIndexWhosePartsDisagreeIsRefusedBeforeItIsSigned(t *testing.T) {
	idx := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image(t, amd64), Descriptor: v1.Descriptor{Platform: &arm64}})
	reg := newFaulty(t)
	_, err := registry.Publish(t.Context(), idx, []registry.Target{reg.target(t, "netbox")}, registry.Options{
		Attach: func(context.Context, v1.ImageIndex) ([]registry.Attachment, error) {
			t.Error("something was signed")
			return nil, nil
		},
	})
	wantError(t, err, "the index is not valid", "make it again with `go run ./ci build`")
	if asked := reg.takeRequests("GET", "HEAD", "POST", "PUT", "PATCH"); len(asked) > 0 {
		t.Errorf("the registry was asked %q", asked)
	}
}

func TestProgressIsShownInBytesForEachRegistry(t *testing.T) {
	one, two := newFaulty(t), newFaulty(t)
	idx, _ := index(t)
	var tick atomic.Int64 // each reading of the clock adds a second
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
		t.Errorf("no line of log shows how far it is:\n%s", &shown)
	}
}

// brokenLayer fails while it is read.
type brokenLayer struct{ v1.Layer }

func (l brokenLayer) Compressed() (io.ReadCloser, error) {
	rc, err := l.Layer.Compressed()
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(rc, 100), iotest.ErrReader(&fs.PathError{Op: "read", Path: "layer", Err: syscall.EIO})), rc}, nil
}

func TestAnUnreadableLocalLayerFailsWithoutRetry(t *testing.T) {
	reg := newFaulty(t)
	img := registrytest.Image(t, amd64, nil, brokenLayer{registrytest.Layer(t, 20_000)})
	idx, err := registry.Index([]registry.PlatformImage{{Platform: amd64, Image: img}}, nil)
	must(t, err)
	var w fakeClock
	_, err = registry.Publish(t.Context(), idx, []registry.Target{reg.target(t, "netbox")}, registry.Options{Clock: w.clock()})
	wantError(t, err, "sending blob sha256:", "input/output error")
	if len(w.all) > 0 {
		t.Errorf("waited %v for what does not pass", w.all)
	}
}
