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

// proxy stands between a publisher and a registry, and spoils some requests.
type proxy struct {
	host  string
	roots *x509.CertPool               // who vouches for it, when it speaks TLS
	ca    []byte                       // the same as PEM
	habit habit                        // what it does at all times; nil is nothing
	lines atomic.Int64                 // connections that were made to it
	guard func(r *http.Request) *reply // to whom it does not let pass; nil lets everyone

	mu    sync.Mutex
	count int
	spoil func(k int, kind string) *fault // of request k, from 1 on; nil leaves it alone
	hit   []string                        // kinds of the requests that were spoiled
}

// habit answers a request, or has it answered by the registry, next.
type habit func(w http.ResponseWriter, r *http.Request, body []byte, next func() *reply) *reply

// fault is what can happen to a request. reply is what the registry has
// answered; it is nil when the registry is not asked.
type fault struct {
	name  string
	asked bool // the registry is asked before it happens
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

// faults are all that is tried on each request.
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
		panic(http.ErrAbortHandler) // over HTTP/2 RST_STREAM
	}},
	{"GOAWAY", false, func(w http.ResponseWriter, r *http.Request, _ *reply) {
		if r.ProtoMajor == 2 { // no stream was looked at, for an internal error
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

// connectionKey finds the connection in the context of its requests.
type connectionKey struct{}

func connection(r *http.Request) net.Conn { return r.Context().Value(connectionKey{}).(net.Conn) }

// reset says something raw, where the protocol allows it, and then drops the
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

// newProxy stands in front of a registry until the test ends.
func newProxy(t testing.TB, backend string, spoil func(k int, kind string) *fault) *proxy {
	t.Helper()
	return newProxyOver(t, protocols[0], backend, spoil)
}

// protocols are those that registries are spoken to in: plain HTTP/1.1, and
// HTTP/2 with TLS.
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

// with spoils requests from now on.
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
	if answer == nil { // a habit has done it all
		return
	}
	if spoiled != nil {
		spoiled.hurt(w, r, answer)
		return
	}
	answer.send(w)
}

// ask passes a request on. The registry receives the proxy's name: it answers
// with addresses for the requests that follow.
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

// kindOfRequest is what a publish asks of a registry.
type kindOfRequest struct {
	kind, method string
	path         *regexp.Regexp
}

// requests are all kinds, in the order they come in.
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
