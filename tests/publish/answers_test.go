package publish_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

// says returns a reply with a body. header holds keys and values in turn.
func says(status int, body string, header ...string) *reply {
	a := &reply{status: status, header: http.Header{}, body: []byte(body)}
	for i := 0; i+1 < len(header); i += 2 {
		a.header.Set(header[i], header[i+1])
	}
	return a
}

// tokens returns a habit that requires a bearer token. A token expires after a
// lifetime or a number of requests.
func tokens(lifetime time.Duration, uses int) habit {
	var mu sync.Mutex
	left, ends := map[string]int{}, map[string]time.Time{}
	return func(_ http.ResponseWriter, r *http.Request, _ []byte, next func() *reply) *reply {
		mu.Lock()
		if r.URL.Path == "/token" {
			token := strconv.Itoa(len(left))
			left[token], ends[token] = uses, time.Now().Add(lifetime)
			mu.Unlock()
			return says(200, fmt.Sprintf(`{"token":%q,"expires_in":%d}`, token, int(lifetime.Seconds())))
		}
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		left[token]--
		good := left[token] >= 0 && time.Now().Before(ends[token])
		mu.Unlock()
		if good {
			return next()
		}
		scheme := "http"
		if r.TLS != nil {
			scheme = "https"
		}
		return says(401, `{"errors":[{"code":"UNAUTHORIZED"}]}`, "WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s://%s/token",service="test"`, scheme, r.Host))
	}
}

// at returns a habit that applies to requests of one kind. It forwards others.
func at(kind string, answer habit) habit {
	return func(w http.ResponseWriter, r *http.Request, body []byte, next func() *reply) *reply {
		if kindOf(r) == kind {
			return answer(w, r, body, next)
		}
		return next()
	}
}

// always returns a habit that sends the same reply to each request.
func always(a func() *reply) habit {
	return func(http.ResponseWriter, *http.Request, []byte, func() *reply) *reply { return a() }
}

// first returns a habit that applies to the first requests with the same method
// and path, as many as times. It forwards later ones.
func first(times int, answer habit) habit {
	var mu sync.Mutex
	seen := map[string]int{}
	return func(w http.ResponseWriter, r *http.Request, body []byte, next func() *reply) *reply {
		mu.Lock()
		key := r.Method + r.URL.Path
		seen[key]++
		n := seen[key]
		mu.Unlock()
		if n <= times {
			return answer(w, r, body, next)
		}
		return next()
	}
}

// both returns a habit that applies outer, and inner to what outer forwards.
func both(outer, inner habit) habit {
	return func(w http.ResponseWriter, r *http.Request, body []byte, next func() *reply) *reply {
		return outer(w, r, body, func() *reply { return inner(w, r, body, next) })
	}
}

// late returns a habit that serves stale manifests: after each write, the next
// reads, as many as looks, return the previous manifest or 404.
func late(looks int, of func(reference string) bool) habit {
	var mu sync.Mutex
	before, left := map[string]*reply{}, map[string]int{}
	return func(_ http.ResponseWriter, r *http.Request, _ []byte, next func() *reply) *reply {
		i := strings.Index(r.URL.Path, "/manifests/")
		if i < 0 || !of(r.URL.Path[i+len("/manifests/"):]) {
			return next()
		}
		mu.Lock()
		defer mu.Unlock()
		key := r.URL.Path
		if r.Method == http.MethodPut {
			left[key] = looks
			if before[key] == nil {
				before[key] = says(404, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`)
			}
			return next()
		}
		if left[key] > 0 {
			left[key]--
			old := *before[key]
			if r.Method == http.MethodHead {
				old.body = nil
			}
			return &old
		}
		now := next()
		if r.Method == http.MethodGet || now.status != 200 {
			before[key] = now
		} else {
			kept := *now
			before[key] = &kept
		}
		return now
	}
}

func byDigest(reference string) bool { return strings.Contains(reference, ":") }

func isList(reference string) bool { return strings.HasPrefix(reference, "sha256-") }

func isTag(reference string) bool { return !byDigest(reference) && !isList(reference) }

func notFound() *reply { return says(404, "404 page not found\n", "Content-Type", "text/plain") }

// nothingListed is an OCI index without entries.
const nothingListed = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`

// refusing returns a habit that rejects manifests that contain a text.
func refusing(what, why string) habit {
	return func(_ http.ResponseWriter, r *http.Request, body []byte, next func() *reply) *reply {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/sha256:") && bytes.Contains(body, []byte(what)) {
			return says(400, fmt.Sprintf(`{"errors":[{"code":"MANIFEST_INVALID","message":%q}]}`, why))
		}
		return next()
	}
}

// nobody returns the address of a port that is bound, so that no other program
// gets it, but does not accept connections.
func nobody(t testing.TB) (host string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { must(t, syscall.Close(fd)) })
	must(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	at, err := syscall.Getsockname(fd)
	must(t, err)
	return fmt.Sprintf("127.0.0.1:%d", at.(*syscall.SockaddrInet4).Port)
}

// trusting returns a transport that trusts the certificates of several proxies.
func trusting(all ...*proxy) http.RoundTripper {
	by := map[string]http.RoundTripper{}
	for _, p := range all {
		by[p.host] = registry.NewTransport(0, p.roots)
	}
	return roundTrip(func(r *http.Request) (*http.Response, error) { return by[r.URL.Host].RoundTrip(r) })
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
