package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// baseTransport is the transport under every request. It sends each attempt with
// a fresh body, marks connection failures as errDropped, records Retry-After for
// retry, applies assumeMissing, and refuses plain http beyond loopback.
type baseTransport struct {
	next      http.RoundTripper
	clock     Clock
	plainHost string // the host for which plain http is allowed, or ""
}

// RoundTrip implements http.RoundTripper.
func (g baseTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && req.URL.Host != g.plainHost && !isLoopback(req.URL.Host) {
		return nil, fmt.Errorf("plain http to %s is refused; name the registry with http:// in front to allow it", req.URL.Host)
	}
	req, err := withFreshBody(req)
	if err != nil {
		return nil, err
	}
	resp, err := g.next.RoundTrip(req)
	if err != nil {
		return nil, classifyError(req.Context(), err)
	}
	resp.Body = responseBody{resp.Body, req.Context()}
	att, ok := req.Context().Value(attemptKey{}).(*attempt)
	if !ok {
		return resp, nil
	}
	if d := retryAfter(resp.Header.Get("Retry-After"), g.clock.now()); d > 0 {
		att.retryAfter.Store(int64(d))
	}
	if att.number > 0 && att.assumeMissing && req.Method == http.MethodHead && resp.StatusCode == http.StatusInternalServerError {
		resp.StatusCode, resp.Status = http.StatusNotFound, "404 Not Found"
	}
	return resp, nil
}

// withFreshBody returns the request with an unread body. When a registry asks for
// a new token, the request is sent again after its body has been read: over HTTP/2
// the body would be empty (go-containerregistry#1004).
func withFreshBody(req *http.Request) (*http.Request, error) {
	if req.GetBody == nil || req.Body == nil || req.Body == http.NoBody {
		return req, nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	_ = req.Body.Close()
	fresh := *req
	fresh.Body = body
	return &fresh, nil
}

// classifyError marks a connection failure as errDropped. It leaves the error as it
// is after a cancellation, when a file to send could not be read, and when a retry
// would fail in the same way.
func classifyError(ctx context.Context, err error) error {
	var unknown *net.DNSError
	var file *fs.PathError // fs.ErrClosed: the transport closes the file when the connection breaks
	if ctx.Err() != nil || errors.Is(err, http.ErrSchemeMismatch) ||
		errors.As(err, &file) && !errors.Is(err, fs.ErrClosed) || errors.As(err, &unknown) && unknown.IsNotFound ||
		errors.As(err, new(*tls.CertificateVerificationError)) || errors.As(err, new(tls.RecordHeaderError)) {
		return err
	}
	return classifiedError{err, errDropped}
}

// responseBody applies classifyError to the errors of a response body.
type responseBody struct {
	io.ReadCloser
	ctx context.Context
}

func (b responseBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = classifyError(b.ctx, err)
	}
	return n, err
}

// retryAfter parses the Retry-After header (RFC 9110, 10.2.3): seconds or a date.
// It returns 0 for an invalid value.
func retryAfter(value string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(value); err == nil && n >= 0 && n < 1<<31 {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return at.Sub(now)
	}
	return 0
}

// NewTransport returns a transport whose connections fail after no byte has moved
// for stall: a registry that stops responding is a dropped connection, not a hang.
// A stall of zero or less means DefaultStall. roots are the trusted certificate
// authorities; nil means those of the machine.
func NewTransport(stall time.Duration, roots *x509.CertPool) *http.Transport {
	if stall <= 0 {
		stall = DefaultStall
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	dial := t.DialContext
	t.MaxIdleConnsPerHost = 16
	t.TLSClientConfig = &tls.Config{RootCAs: roots}
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return stallConn{conn, stall}, nil
	}
	return t
}

// stallConn fails with a timeout once no byte has moved for stall. Reads and writes
// extend the same deadline, so a reader does not time out during a long upload.
type stallConn struct {
	net.Conn
	stall time.Duration
}

func (c stallConn) Read(p []byte) (int, error) {
	_ = c.SetDeadline(time.Now().Add(c.stall)) // fails only when closed, as Read then does
	return c.Conn.Read(p)
}

func (c stallConn) Write(p []byte) (int, error) {
	_ = c.SetDeadline(time.Now().Add(c.stall)) // fails only when closed, as Write then does
	return c.Conn.Write(p)
}

// ReadRoots returns the machine's certificate authorities and those of a PEM file.
func ReadRoots(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, failure.Usagef("read the certificates to trust: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, failure.Usagef("read the certificates to trust: %s holds none: name a file in PEM form, -----BEGIN CERTIFICATE-----", file)
	}
	return roots, nil
}
