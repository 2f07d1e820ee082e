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

	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

// TestFaults publishes to a healthy and a faulty registry: either the run succeeds,
// or it fails and the tag of the faulty registry is unchanged.
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
	// once applies a fault to the first request of each method and kind of path.
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
		error []string      // empty: the run succeeds
		waits int           // minimum number of waits
		wait  time.Duration // minimum length of the longest
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
		{name: "another manifest comes back, and says that it is an old one with signatures in it",
			spoil: on(http.MethodGet, "/manifests/", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws")
				w.Header().Set("Docker-Content-Digest", path.Base(r.URL.Path))
				fmt.Fprint(w, `{"schemaVersion":1}`)
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
		{name: "an upload is garbled at first", waits: 1,
			spoil: on(http.MethodPatch, "/uploads/", once(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				_, _ = io.CopyN(io.Discard, r.Body, 1)
				next.ServeHTTP(w, r)
			}))},
		{name: "every upload is garbled", waits: 2,
			spoil: on(http.MethodPatch, "/uploads/", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				_, _ = io.CopyN(io.Discard, r.Body, 1)
				next.ServeHTTP(w, r)
			}),
			error: []string{"sending blob sha256:", "digest does not match contents"}},
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

			sick.setFault(c.spoil)
			var w fakeClock
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
				want = now.String() // its content is complete, and its own tag could be set
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
			// Without the fault, the next run succeeds.
			_, err = registry.Publish(t.Context(), idx, targets, registry.Options{Booted: booted, Move: true})
			must(t, err)
			if got := sick.tag(t, "netbox:new"); got != now.String() {
				t.Errorf("after the second run the tag is %s, want %s", got, now)
			}
		})
	}
}

func TestAllFailingRegistriesAreReported(t *testing.T) {
	one, two := newFaulty(t), newFaulty(t)
	sick := func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(http.StatusForbidden) }
	one.setFault(sick)
	two.setFault(sick)
	idx, _ := index(t)
	_, err := registry.Publish(t.Context(), idx, []registry.Target{one.target(t, "netbox"), two.target(t, "netbox")}, registry.Options{})
	if err == nil || !strings.Contains(err.Error(), one.host+"/netbox") || !strings.Contains(err.Error(), two.host+"/netbox") {
		t.Errorf("error %q, want both registries named", err)
	}
}

func TestInterruptionStopsAtOnceAndMovesNoTag(t *testing.T) {
	reg := newFaulty(t)
	idx, _ := index(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var puts atomic.Int64
	reg.setFault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
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

func TestATagMovedByAnotherRunIsNotReportedAsPublished(t *testing.T) {
	reg := newFaulty(t)
	idx, _ := index(t)
	other, _ := index(t)
	_, err := registry.Publish(t.Context(), other, []registry.Target{reg.target(t, "netbox:other")}, registry.Options{})
	must(t, err)
	raw, err := other.RawManifest()
	must(t, err)
	reg.setFault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
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
			reg.setFault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if (r.URL.Path == at || at != "/v2/" && strings.Contains(r.URL.Path, at)) && stalled.CompareAndSwap(false, true) {
					<-r.Context().Done()
					return
				}
				next.ServeHTTP(w, r)
			})
			idx, _ := index(t)
			var w fakeClock
			start := time.Now()
			_, err := registry.Publish(t.Context(), idx, []registry.Target{reg.target(t, "netbox:1")}, registry.Options{Clock: w.clock(), Transport: registry.NewTransport(time.Second, nil)})
			must(t, err)
			if took := time.Since(start); !stalled.Load() || took < time.Second {
				t.Errorf("it took %s, stalled %t", took, stalled.Load())
			}
		})
	}
}

func TestABodyThatIsShorterWhenResumedIsAnError(t *testing.T) {
	reg := newFaulty(t)
	idx, booted := index(t)
	_, err := registry.Publish(t.Context(), idx, []registry.Target{reg.target(t, "netbox:1")}, registry.Options{})
	must(t, err)
	images, err := registry.Source{Clock: new(fakeClock).clock()}.Fetch(t.Context(), reg.host+"/netbox", booted)
	must(t, err)
	layers, err := images[0].Image.Layers()
	must(t, err)
	size, err := layers[0].Size()
	must(t, err)
	var asked atomic.Int64
	reg.setFault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if asked.Add(1) > 1 {
			fmt.Fprint(w, "less than before")
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(size))
		fmt.Fprint(w, strings.Repeat("x", 5000))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	rc, err := layers[0].Compressed()
	must(t, err)
	defer rc.Close()
	if n, err := io.Copy(io.Discard, rc); n != 5000 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read %d bytes: %v", n, err)
	}
}
