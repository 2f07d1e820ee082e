package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Clock is the time as Publish knows it. The zero value is the machine's.
type Clock struct {
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration) error
}

func (c Clock) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

func (c Clock) sleep(ctx context.Context, d time.Duration) error {
	if c.Sleep != nil {
		return c.Sleep(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

const (
	// attempts at one request before a passing failure counts as a lasting one.
	attempts = 5
	// longestWait is the longest Retry-After that is obeyed.
	longestWait = 5 * time.Minute
)

// DefaultStall is how long a connection may carry no byte in either direction.
const DefaultStall = 2 * time.Minute

// pause gives the time to wait after failed attempt n (0 is the first): 1, 5,
// 25, 125 s, each up to a fifth longer or shorter so that many clients do not
// come back together.
func pause(n int) time.Duration {
	d := time.Second
	for range n {
		d *= 5
	}
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// attemptKey finds the attempt in the context of its requests.
type attemptKey struct{}

// attempt is what the transport and retry know of one attempt.
type attempt struct {
	n          int          // 0 is the first
	retryAfter atomic.Int64 // nanoseconds that the registry asked for
}

// retry calls f until it succeeds, fails for good or has failed attempts
// times. what names the work in the log and in the error.
func retry(ctx context.Context, clock Clock, log io.Writer, what string, f func(context.Context) error) error {
	for n := 0; ; n++ {
		this := &attempt{n: n}
		err := f(context.WithValue(ctx, attemptKey{}, this))
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w", what, ctx.Err())
		case !passing(err):
			return fmt.Errorf("%s: %w", what, explain(err))
		case n == attempts-1:
			return fmt.Errorf("%s: %w, %d times; try again later, what is there already is kept%s", what, explain(err), attempts, ifBroken(err))
		}
		wait := max(pause(n), time.Duration(this.retryAfter.Load()))
		if wait > longestWait {
			return fmt.Errorf("%s: %w; the registry asks to come back in %s", what, explain(err), wait.Round(time.Second))
		}
		fmt.Fprintf(log, "%s: %v; attempt %d of %d in %s\n", what, explain(err), n+2, attempts, wait.Round(100*time.Millisecond))
		if err := clock.sleep(ctx, wait); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

// ifBroken is the way out when an error does not pass by itself: a full disk
// leaves what docker-registry then keeps, and cannot read, for ever.
func ifBroken(err error) string {
	var status *transport.Error
	if errors.As(err, &status) && status.StatusCode == http.StatusInternalServerError {
		return "; if it stays so, it is broken there: delete it"
	}
	return ""
}

// errAgain is a failure that another attempt may mend: two runs have written
// the same list at once.
var errAgain = errors.New("another run has just written the list there, or it is broken: if so, delete it")

// forgetful are the codes of a registry that has lost an upload half-way, or
// does not see yet what it was just given. To begin the upload anew, or to wait
// a moment, helps.
var forgetful = []transport.ErrorCode{
	transport.BlobUploadUnknownErrorCode, transport.BlobUploadInvalidErrorCode, transport.ManifestBlobUnknownErrorCode,
}

// passing says if a failure is one that goes away by itself.
func passing(err error) bool {
	var status *transport.Error
	if errors.As(err, &status) {
		return status.StatusCode == http.StatusRequestTimeout ||
			status.StatusCode == http.StatusTooManyRequests ||
			status.StatusCode >= 500 ||
			slices.ContainsFunc(status.Errors, func(d transport.Diagnostic) bool { return slices.Contains(forgetful, d.Code) })
	}
	for _, dropped := range []error{
		errAgain, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, os.ErrDeadlineExceeded,
		syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ECONNREFUSED, syscall.ETIMEDOUT,
	} {
		if errors.Is(err, dropped) {
			return true
		}
	}
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}

// queries matches what an address asks for: registries put tokens there.
var queries = regexp.MustCompile(`(https?://[^\s"?]*)\?[^\s"]*`)

// explain puts a registry's answer into a few words, with the way out where
// there is one.
func explain(err error) error {
	var status *transport.Error
	if !errors.As(err, &status) {
		return explained{queries.ReplaceAllString(err.Error(), "$1"), err}
	}
	text := fmt.Sprintf("the registry answered %d %s", status.StatusCode, http.StatusText(status.StatusCode))
	for _, e := range status.Errors {
		if e.Message != "" {
			text += fmt.Sprintf(" (%s)", strings.Join(strings.Fields(e.Message), " "))
		}
	}
	if status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden {
		host := "the registry"
		if status.Request != nil {
			host = status.Request.URL.Host
		}
		text += fmt.Sprintf("; log in to %s with an account that may push there (docker login, or the variables REGISTRY_USERNAME_%[2]s and REGISTRY_PASSWORD_%[2]s)", host, variable(host))
	}
	return explained{text, err}
}

// explained is an error in other words.
type explained struct {
	text string
	err  error
}

func (e explained) Error() string { return e.text }
func (e explained) Unwrap() error { return e.err }

// orSend is a context in which a registry that again and again cannot say
// whether it has something is taken to lack it, so that it is sent: what a full
// disk leaves in docker-registry is a link to nothing, which answers 500 until
// it is written anew.
func orSend(ctx context.Context) context.Context { return context.WithValue(ctx, orSendKey{}, true) }

type orSendKey struct{}

// guard is the transport under every request: it notes Retry-After for retry,
// heeds orSend and keeps plain http on loopback.
type guard struct {
	next  http.RoundTripper
	clock Clock
	plain map[string]bool // hosts that plain http was asked for
}

func (g guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && !g.plain[req.URL.Host] && !isLoopback(req.URL.Host) {
		return nil, fmt.Errorf("plain http to %s is refused; name the registry with http:// in front to allow it", req.URL.Host)
	}
	resp, err := g.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	this, ok := req.Context().Value(attemptKey{}).(*attempt)
	if !ok {
		return resp, nil
	}
	if d := retryAfter(resp.Header.Get("Retry-After"), g.clock.now()); d > 0 {
		this.retryAfter.Store(int64(d))
	}
	if this.n > 0 && req.Context().Value(orSendKey{}) != nil && req.Method == http.MethodHead && resp.StatusCode == http.StatusInternalServerError {
		resp.StatusCode, resp.Status = http.StatusNotFound, "404 Not Found"
	}
	return resp, nil
}

// retryAfter reads the header of that name (RFC 9110, 10.2.3): seconds or a
// date. What cannot be read asks for nothing.
func retryAfter(value string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(value); err == nil && n >= 0 && n < 1<<31 {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return at.Sub(now)
	}
	return 0
}

// newGuard guards a transport, or the network when that is nil.
func newGuard(next http.RoundTripper, stall time.Duration, clock Clock) guard {
	if next == nil {
		if stall <= 0 {
			stall = DefaultStall
		}
		next = newTransport(stall)
	}
	return guard{next: next, clock: clock, plain: map[string]bool{}}
}

// newTransport gives connections that end when nothing moves on them: a
// registry that stops answering is a dropped connection, not a hang.
func newTransport(stall time.Duration) *http.Transport {
	dialer := &net.Dialer{Timeout: 30 * time.Second}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 16
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return stallConn{conn, stall}, nil
	}
	return t
}

// stallConn fails with a timeout once no byte has moved for stall. Reads and
// writes push the same deadline: a long upload keeps the waiting reader alive.
type stallConn struct {
	net.Conn
	stall time.Duration
}

func (c stallConn) Read(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c stallConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
