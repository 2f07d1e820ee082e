package publish_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy forwards requests to a registry and injects faults into some of them.
type proxy struct {
	host  string
	roots *x509.CertPool               // trust its certificate; nil without TLS
	ca    []byte                       // its certificate as PEM
	habit habit                        // applies to all requests; nil forwards them
	lines atomic.Int64                 // number of connections accepted
	guard func(r *http.Request) *reply // returns the refusal of a request; nil accepts all

	mu    sync.Mutex
	count int
	spoil func(k int, kind string) *fault // fault for request k, which starts at 1; nil for none
	hit   []string                        // kinds of the requests that were spoiled
}

// habit replies to a request. next forwards it and returns the registry's reply.
type habit func(w http.ResponseWriter, r *http.Request, body []byte, next func() *reply) *reply

// fault is a failure of one request. hurt gets the reply of the registry, or nil
// when the request is not forwarded.
type fault struct {
	name  string
	asked bool // whether the request is forwarded before it fails
	hurt  func(w http.ResponseWriter, r *http.Request, reply *reply)
}

type reply struct {
	status int
	header http.Header
	body   []byte
}

func (a *reply) send(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// faults lists the failures that are tested on each request.
var faults = []fault{
	{"429", false, func(w http.ResponseWriter, _ *http.Request, _ *reply) {
		w.Header().Set("Retry-After", "2")
		w.WriteHeader(http.StatusTooManyRequests)
	}},
	{"500", false, func(w http.ResponseWriter, _ *http.Request, _ *reply) { w.WriteHeader(http.StatusInternalServerError) }},
	{"reset", false, func(w http.ResponseWriter, r *http.Request, _ *reply) { reset(w, r, "") }},
	{"answer lost", true, func(w http.ResponseWriter, r *http.Request, _ *reply) { reset(w, r, "") }},
	{"stalled", false, func(_ http.ResponseWriter, r *http.Request, _ *reply) { <-r.Context().Done() }},
	{"truncated", true, func(w http.ResponseWriter, r *http.Request, a *reply) {
		if len(a.body) < 2 || r.Method == http.MethodHead {
			reset(w, r, "HTTP/1.1 200 O")
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
		(&reply{a.status, without(a.header, "Content-Length"), a.body[:len(a.body)/2]}).send(w)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler) // sends RST_STREAM over HTTP/2
	}},
	{"GOAWAY", false, func(w http.ResponseWriter, r *http.Request, _ *reply) {
		if r.ProtoMajor == 2 { // last stream 0, error code INTERNAL_ERROR
			_, _ = connection(r).Write([]byte("\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02"))
		}
		reset(w, r, "")
	}},
	{"stream reset", false, func(http.ResponseWriter, *http.Request, *reply) { panic(http.ErrAbortHandler) }},
	{"wrong content", true, func(w http.ResponseWriter, _ *http.Request, a *reply) {
		wrong := reply{a.status, a.header.Clone(), bytes.Clone(a.body)}
		if len(wrong.body) > 0 {
			wrong.body[len(wrong.body)/2] ^= 1
		}
		if wrong.header.Get("Docker-Content-Digest") != "" {
			wrong.header.Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
		}
		wrong.send(w)
	}},
}

func without(h http.Header, name string) http.Header {
	h = h.Clone()
	h.Del(name)
	return h
}

// connectionKey is the context key of a request's connection.
type connectionKey struct{}

func connection(r *http.Request) net.Conn { return r.Context().Value(connectionKey{}).(net.Conn) }

// reset writes raw bytes over HTTP/1.1, nothing over HTTP/2, and closes the
// connection.
func reset(w http.ResponseWriter, r *http.Request, say string) {
	if r.ProtoMajor == 2 {
		_ = connection(r).Close()
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(conn, say)
	if say == "" {
		_ = conn.(*net.TCPConn).SetLinger(0)
	}
	_ = conn.Close()
}

// newProxy starts an HTTP/1.1 proxy in front of a registry, until the test ends.
func newProxy(t testing.TB, backend string, spoil func(k int, kind string) *fault) *proxy {
	t.Helper()
	return newProxyOver(t, protocols[0], backend, spoil)
}

// protocols lists the protocols to test: plain HTTP/1.1, and HTTP/2 with TLS.
var protocols = []string{"HTTP/1.1", "HTTP/2"}

func newProxyOver(t testing.TB, protocol, backend string, spoil func(k int, kind string) *fault) *proxy {
	t.Helper()
	p := &proxy{spoil: spoil}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, backend) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Config.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		p.lines.Add(1)
		return context.WithValue(ctx, connectionKey{}, conn)
	}
	if protocol == "HTTP/2" {
		server.EnableHTTP2 = true
		server.StartTLS()
		p.roots = x509.NewCertPool()
		p.roots.AddCert(server.Certificate())
		p.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	} else {
		server.Start()
	}
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	p.host = server.Listener.Addr().String()
	return p
}

// with replaces the function that selects the faults.
func (p *proxy) with(spoil func(k int, kind string) *fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spoil = spoil
}

func (p *proxy) serve(w http.ResponseWriter, r *http.Request, backend string) {
	p.mu.Lock()
	p.count++
	kind := kindOf(r)
	var spoiled *fault
	if p.spoil != nil {
		spoiled = p.spoil(p.count, kind)
	}
	if spoiled != nil {
		p.hit = append(p.hit, kind)
	}
	p.mu.Unlock()
	body, err := io.ReadAll(r.Body) // a server that drops a body half-read resets the connection by itself
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if spoiled != nil && !spoiled.asked {
		spoiled.hurt(w, r, nil)
		return
	}
	var answer *reply
	if p.guard != nil {
		answer = p.guard(r)
	}
	next := func() *reply {
		answer, err := ask(r, body, backend)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		return answer
	}
	switch {
	case answer != nil:
	case p.habit != nil:
		answer = p.habit(w, r, body, next)
	default:
		answer = next()
	}
	if answer == nil { // the habit wrote the response itself
		return
	}
	if spoiled != nil {
		spoiled.hurt(w, r, answer)
		return
	}
	answer.send(w)
}

// ask forwards a request. The Host header stays that of the proxy, because the
// registry builds the URLs for later requests from it.
func ask(r *http.Request, body []byte, backend string) (*reply, error) {
	u := *r.URL
	u.Scheme, u.Host = "http", backend
	req, err := http.NewRequestWithContext(r.Context(), r.Method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header, req.Host = r.Header.Clone(), r.Host
	if r.TLS != nil {
		req.Header.Set("X-Forwarded-Proto", "https")
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return &reply{resp.StatusCode, resp.Header, got}, err
}

// kindOfRequest is a kind of request that a publish sends to a registry.
type kindOfRequest struct {
	kind, method string
	path         *regexp.Regexp
}

// requests lists all kinds, in the order in which a publish sends them.
var requests = []kindOfRequest{
	{"greet", "GET", regexp.MustCompile(`^/v2/$`)},
	{"ask for a blob", "HEAD", regexp.MustCompile(`/blobs/sha256:`)},
	{"begin a blob", "POST", regexp.MustCompile(`/blobs/uploads/$`)},
	{"send a blob", "PATCH", regexp.MustCompile(`/blobs/uploads/`)},
	{"end a blob", "PUT", regexp.MustCompile(`/blobs/uploads/`)},
	{"ask for a manifest", "HEAD", regexp.MustCompile(`/manifests/sha256:`)},
	{"write a manifest", "PUT", regexp.MustCompile(`/manifests/sha256:`)},
	{"ask for attachments", "GET", regexp.MustCompile(`/referrers/`)},
	{"read the list of attachments", "GET", regexp.MustCompile(`/manifests/sha256-`)},
	{"write the list of attachments", "PUT", regexp.MustCompile(`/manifests/sha256-`)},
	{"read a manifest", "GET", regexp.MustCompile(`/manifests/sha256:`)},
	{"read a blob", "GET", regexp.MustCompile(`/blobs/sha256:`)},
	{"ask for a tag", "HEAD", regexp.MustCompile(`/manifests/[^:]*$`)},
	{"move a tag", "PUT", regexp.MustCompile(`/manifests/[^:]*$`)},
}

func kindOf(r *http.Request) string {
	for _, k := range requests {
		if r.Method == k.method && k.path.MatchString(r.URL.Path) {
			return k.kind
		}
	}
	return fmt.Sprintf("%s %s", r.Method, r.URL.Path)
}
