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

// Clock provides the time to Publish and Source. The zero value is the system clock.
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

// retryPolicy limits the attempts after temporary failures.
type retryPolicy struct {
	attempts      int
	loginAttempts int           // attempts when the login fails
	maxWait       time.Duration // a longer Retry-After is an error
	advice        string        // added to the last error
	// assumeMissing treats a HEAD request that still gets 500 when retried as 404, so
	// that the content is sent. After a full disk, docker-registry has links to missing
	// content, and responds with 500 until it is written again.
	assumeMissing bool
}

var (
	publishPolicy = retryPolicy{5, 5, 5 * time.Minute, "; try again later, what is there already is kept", false}
	sendPolicy    = retryPolicy{5, 5, 5 * time.Minute, publishPolicy.advice, true}
	// Fewer logins: when reading, the port may be wrong, as nothing has responded yet.
	readPolicy = retryPolicy{5, 3, 5 * time.Minute, "", false}
	// Fewer attempts: the referrers tag is the fallback.
	referrersPolicy = retryPolicy{3, 3, 10 * time.Second, "", false}
)

// DefaultStall is how long a connection may be idle in both directions.
const DefaultStall = 2 * time.Minute

// backoff returns the time to wait after failed attempt n (0 is the first): 1, 5,
// 25, 125 s, each with a jitter of 20 % so that clients do not retry all at once.
func backoff(n int) time.Duration {
	return time.Duration(float64(time.Second) * math.Pow(5, float64(n)) * (0.8 + 0.4*rand.Float64()))
}

// pollDelays are the waits until a registry shows what was sent, 30 s in total.
var pollDelays = [...]time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second}

// attemptKey is the key of the attempt in the context of its requests.
type attemptKey struct{}

// attempt is the state of one attempt, shared by retry and baseTransport.
type attempt struct {
	number        int          // 0 is the first
	assumeMissing bool         // see retryPolicy
	retryAfter    atomic.Int64 // nanoseconds that the registry asked for
}

// retry calls f until it succeeds, fails permanently, reaches the limit of attempts,
// or has returned errNotYet for 30 s. operation names it in the log.
func (c *repoClient) retry(ctx context.Context, policy retryPolicy, operation string, f func(context.Context) error) error {
	var n, polls int
	var waited time.Duration
	for {
		att := &attempt{number: n, assumeMissing: policy.assumeMissing}
		err := f(context.WithValue(ctx, attemptKey{}, att))
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
			fmt.Fprintf(c.log, "%s: %v; the registry may show late what was sent, asking again in %s\n", operation, explain(err), wait)
		case !isTemporary(err) && !(n < 2 && (isTokenExpired(err) || isDigestMismatch(err))):
			return explain(err)
		case n >= limit-1:
			return fmt.Errorf("%w, %d times in %s%s%s", explain(err), n+1, waited.Round(time.Second), policy.advice, brokenAdvice(err))
		default:
			wait = max(backoff(n), time.Duration(att.retryAfter.Load()))
			if wait > policy.maxWait {
				return fmt.Errorf("%w; the registry asks to come back in %s", explain(err), wait.Round(time.Second))
			}
			n++
			fmt.Fprintf(c.log, "%s: %v; attempt %d of %d in %s\n", operation, explain(err), n+1, limit, wait.Round(100*time.Millisecond))
		}
		if err := c.clock.sleep(ctx, wait); err != nil {
			return err
		}
		waited += wait
	}
}

// brokenAdvice returns a hint for status 500, which may be permanent: after a full
// disk docker-registry keeps content that it cannot read.
func brokenAdvice(err error) string {
	if responseError(err).StatusCode == http.StatusInternalServerError {
		return "; if it stays so, it is broken there: delete it"
	}
	return ""
}

// isTemporary reports whether a retry may succeed.
func isTemporary(err error) bool {
	if errors.Is(err, errDropped) { // even if an attempt by plain http, on loopback, failed too
		return true
	}
	a := responseError(err)
	return isTemporaryStatus(a.StatusCode) ||
		// The registry lost an upload, or does not see yet what was just pushed. Starting
		// the upload again, or waiting a moment, helps.
		hasCode(a, transport.BlobUploadUnknownErrorCode, transport.BlobUploadInvalidErrorCode, transport.ManifestBlobUnknownErrorCode) ||
		a.Request.Method == http.MethodPut && hasCode(a, transport.ManifestUnknownErrorCode) // an index whose images the registry does not see yet
}

func isTemporaryStatus(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500
}

// isDigestMismatch reports whether a registry received other bytes than the digest
// says. When a connection breaks, the transport may send a part twice. The local blob
// may be damaged too, so the upload is retried at most twice.
func isDigestMismatch(err error) bool {
	a := responseError(err)
	return !strings.Contains(a.Request.URL.Path, "/manifests/") && hasCode(a, transport.DigestInvalidErrorCode)
}

// isTokenExpired reports whether a registry refused a token that it had just issued:
// the token may have expired on its way, or another request may have used it up.
func isTokenExpired(err error) bool {
	a := responseError(err)
	return a.StatusCode == http.StatusUnauthorized && strings.HasPrefix(a.Request.Header.Get("Authorization"), "Bearer ")
}

// urlQuery matches a URL with a query, in which registries put tokens.
var urlQuery = regexp.MustCompile(`(https?://[^\s"?]*)\?[^\s"]*`)

// outOfSpace matches the messages of registries that have no space left.
var outOfSpace = regexp.MustCompile(`(?i)quota|storage|exceed|disk|limit`)

// explain shortens a registry's error and adds what to do about it, if known. It
// removes the queries of URLs.
func explain(err error) error {
	if login, ok := errors.AsType[classifiedError](err); ok && login.class == errLogin { // without the request that needed the login
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

// responseError returns the registry's error response in err. Its status is 0 when
// there is none; its Request is never nil.
func responseError(err error) (a transport.Error) {
	if found, ok := errors.AsType[*transport.Error](err); ok {
		a = *found
	}
	if a.Request == nil {
		a.Request = &http.Request{URL: &url.URL{}}
	}
	return a
}

// hasCode reports whether an error response has one of the codes.
func hasCode(a transport.Error, codes ...transport.ErrorCode) bool {
	return slices.ContainsFunc(a.Errors, func(d transport.Diagnostic) bool { return slices.Contains(codes, d.Code) })
}

// classifiedError adds a class, such as errDropped, to an error without changing its text.
type classifiedError struct {
	error
	class error
}

func (m classifiedError) Unwrap() []error { return []error{m.error, m.class} }

var (
	// errDropped is a connection failure, whether reported by HTTP/1.1, HTTP/2, TLS
	// or the system: a reset, RST_STREAM, GOAWAY, a body that ends early.
	errDropped = errors.New("the line broke")
	// errLogin is a failed login, before the request itself.
	errLogin = errors.New("the login failed")
	// errNotYet means that the registry does not show yet what it has accepted.
	errNotYet = errors.New("it is not there yet")
)

// rephrasedError replaces the text of an error.
type rephrasedError struct {
	text string
	err  error
}

func (e rephrasedError) Error() string { return e.text }
func (e rephrasedError) Unwrap() error { return e.err }
