package registry

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Clock is the time as Publish and Source know it. The zero value is the
// machine's.
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
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	return ctx.Err()
}

// retryPolicy is how often something is tried before a passing failure counts as a
// lasting one.
type retryPolicy struct {
	attempts      int
	loginAttempts int           // attempts when already the login fails
	maxWait       time.Duration // Retry-After that is obeyed
	advice        string        // added to the last failure
	// assumeMissing takes a registry that again and again cannot say whether it has
	// something to lack it, so that it is sent: what a full disk leaves in
	// docker-registry is a link to nothing, which answers 500 until it is written
	// again.
	assumeMissing bool
}

var (
	publishPolicy = retryPolicy{5, 5, 5 * time.Minute, "; try again later, what is there already is kept", false}
	sendPolicy    = retryPolicy{5, 5, 5 * time.Minute, publishPolicy.advice, true}
	// Who reads may have the wrong port: nobody has answered yet.
	readPolicy = retryPolicy{5, 3, 5 * time.Minute, "", false}
	// A registry that does not say what is attached can do without.
	referrersPolicy = retryPolicy{3, 3, 10 * time.Second, "", false}
)

// DefaultStall is how long a connection may carry no byte in either direction.
const DefaultStall = 2 * time.Minute

// backoff is the time to wait after failed attempt n (0 is the first): 1, 5,
// 25, 125 s, each up to a fifth longer or shorter so that many clients do not
// come back together.
func backoff(n int) time.Duration {
	return time.Duration(float64(time.Second) * math.Pow(5, float64(n)) * (0.8 + 0.4*rand.Float64()))
}

// pollDelays are the waits for what a registry shows late, 30 s together.
var pollDelays = [...]time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second}

// attemptKey finds the attempt in the context of its requests.
type attemptKey struct{}

// attempt is what the transport and retry know of one attempt.
type attempt struct {
	number        int          // 0 is the first
	assumeMissing bool         // as in patience
	retryAfter    atomic.Int64 // nanoseconds that the registry asked for
}

// retry calls f until it succeeds, fails for good, has failed too often, or has
// not seen for 30 s what has just been sent. what names the work in the log.
func (d *repoClient) retry(ctx context.Context, policy retryPolicy, what string, f func(context.Context) error) error {
	var n, polls int
	var waited time.Duration
	for {
		this := &attempt{number: n, assumeMissing: policy.assumeMissing}
		err := f(context.WithValue(ctx, attemptKey{}, this))
		var wait time.Duration
		limit := policy.attempts
		if errors.Is(err, errLogin) {
			limit = policy.loginAttempts
		}
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errNotYet):
			if polls == len(pollDelays) {
				return fmt.Errorf("%w, still so %s after it was sent; publish again later, what is there already is kept", explain(err), waited.Round(time.Second))
			}
			wait = pollDelays[polls]
			polls++
			fmt.Fprintf(d.log, "%s: %v; the registry may show late what was sent, asking again in %s\n", what, explain(err), wait)
		case !isTemporary(err) && !(n == 0 && isTokenExpired(err)) && !(n < 2 && isDigestMismatch(err)):
			return explain(err)
		case n >= limit-1:
			return fmt.Errorf("%w, %d times in %s%s%s", explain(err), n+1, waited.Round(time.Second), policy.advice, brokenAdvice(err))
		default:
			wait = max(backoff(n), time.Duration(this.retryAfter.Load()))
			if wait > policy.maxWait {
				return fmt.Errorf("%w; the registry asks to come back in %s", explain(err), wait.Round(time.Second))
			}
			n++
			fmt.Fprintf(d.log, "%s: %v; attempt %d of %d in %s\n", what, explain(err), n+1, limit, wait.Round(100*time.Millisecond))
		}
		if err := d.clock.sleep(ctx, wait); err != nil {
			return err
		}
		waited += wait
	}
}

// brokenAdvice is the way out when an error does not pass by itself: a full disk
// leaves what docker-registry then keeps, and cannot read, for ever.
func brokenAdvice(err error) string {
	if responseError(err).StatusCode == http.StatusInternalServerError {
		return "; if it stays so, it is broken there: delete it"
	}
	return ""
}

// isTemporary says if a failure is one that goes away by itself.
func isTemporary(err error) bool {
	if errors.Is(err, errDropped) { // though another way may have been tried as well: plain http on loopback
		return true
	}
	a := responseError(err)
	return isTemporaryStatus(a.StatusCode) ||
		// It has lost an upload half-way, or does not see yet what was just pushed to
		// it. To start the upload again, or to wait a moment, helps.
		hasCode(a, transport.BlobUploadUnknownErrorCode, transport.BlobUploadInvalidErrorCode, transport.ManifestBlobUnknownErrorCode) ||
		a.Request.Method == http.MethodPut && hasCode(a, transport.ManifestUnknownErrorCode) // of an index whose images it does not see yet
}

func isTemporaryStatus(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500
}

// isDigestMismatch says if a registry found something else in an upload than was sent: the
// line broke, and the transport sent a part of it, or its end, once more. What lies
// here may be damaged too, so the upload is begun again twice at most.
func isDigestMismatch(err error) bool {
	a := responseError(err)
	return !strings.Contains(a.Request.URL.Path, "/manifests/") && hasCode(a, transport.DigestInvalidErrorCode)
}

// isTokenExpired says if a token was refused that had just been issued: it may have
// lived for less than its way took.
func isTokenExpired(err error) bool {
	a := responseError(err)
	return a.StatusCode == http.StatusUnauthorized && strings.HasPrefix(a.Request.Header.Get("Authorization"), "Bearer ")
}

// urlQuery matches what an address asks for: registries put tokens there.
var urlQuery = regexp.MustCompile(`(https?://[^\s"?]*)\?[^\s"]*`)

// outOfSpace matches how registries say that there is no room left.
var outOfSpace = regexp.MustCompile(`(?i)quota|storage|exceed|disk|limit`)

// explain puts a registry's answer into a few words, with the way out where
// there is one.
func explain(err error) error {
	if login, ok := errors.AsType[classifiedError](err); ok && login.class == errLogin { // without the request that came too early
		err = login.error
	}
	if certificate, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return rephrasedError{fmt.Sprintf("its certificate is not trusted: %v; name the file with the certificate of its authority with --ca or in SSL_CERT_FILE", certificate.Err), err}
	}
	status := responseError(err)
	if status.StatusCode == 0 || errors.Is(err, errDropped) {
		return rephrasedError{strings.Join(strings.Fields(urlQuery.ReplaceAllString(err.Error(), "$1")), " "), err}
	}
	text := fmt.Sprintf("the registry answered %d %s", status.StatusCode, http.StatusText(status.StatusCode))
	var messages string
	for _, e := range status.Errors {
		if e.Message != "" {
			messages += fmt.Sprintf(" (%s)", strings.Join(strings.Fields(e.Message), " "))
		}
	}
	text += messages
	switch {
	case status.StatusCode == http.StatusForbidden && outOfSpace.MatchString(messages):
		text += "; make room there or have the limit raised, then publish again"
	case status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden:
		host := cmp.Or(status.Request.URL.Host, "the registry")
		text += fmt.Sprintf("; log in to %s with an account that may do that (docker login, or the variables REGISTRY_USERNAME_%[2]s and REGISTRY_PASSWORD_%[2]s)", host, variableSuffix(host))
	}
	return rephrasedError{text, err}
}

// responseError is what a registry answered, according to an error; of status 0 when
// none did.
func responseError(err error) (a transport.Error) {
	if found, ok := errors.AsType[*transport.Error](err); ok {
		a = *found
	}
	if a.Request == nil {
		a.Request = &http.Request{URL: &url.URL{}}
	}
	return a
}

// hasCode reports whether an answer has one of the codes.
func hasCode(a transport.Error, codes ...transport.ErrorCode) bool {
	return slices.ContainsFunc(a.Errors, func(d transport.Diagnostic) bool { return slices.Contains(codes, d.Code) })
}

// classifiedError is an error of which more is known than it says.
type classifiedError struct {
	error
	class error
}

func (m classifiedError) Unwrap() []error { return []error{m.error, m.class} }

var (
	// errDropped is a failure of the line, in whatever words HTTP/1.1, HTTP/2,
	// TLS or the system have for it: a reset, RST_STREAM, GOAWAY, a body that
	// ends early.
	errDropped = errors.New("the line broke")
	// errLogin is a failure to log in, before the request itself.
	errLogin = errors.New("the login failed")
	// errNotYet is the answer of a registry that does not show yet what it has
	// taken.
	errNotYet = errors.New("it is not there yet")
)

// rephrasedError is an error in other words.
type rephrasedError struct {
	text string
	err  error
}

func (e rephrasedError) Error() string { return e.text }
func (e rephrasedError) Unwrap() error { return e.err }
