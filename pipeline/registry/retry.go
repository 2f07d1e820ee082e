package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
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

// patience is how often something is tried before a passing failure counts as a
// lasting one.
type patience struct {
	attempts int
	logins   int           // attempts when already the login fails
	longest  time.Duration // Retry-After that is obeyed
	advice   string        // added to the last failure
}

var (
	publishing = patience{5, 5, 5 * time.Minute, "; try again later, what is there already is kept"}
	// Who reads may have the wrong port: nobody has answered yet.
	reading = patience{5, 3, 5 * time.Minute, ""}
	// A registry that does not say what is attached can do without.
	asking = patience{3, 3, 10 * time.Second, ""}
)

// DefaultStall is how long a connection may carry no byte in either direction.
const DefaultStall = 2 * time.Minute

// pause is the time to wait after failed attempt n (0 is the first): 1, 5,
// 25, 125 s, each up to a fifth longer or shorter so that many clients do not
// come back together.
func pause(n int) time.Duration {
	return time.Duration(float64(time.Second) * math.Pow(5, float64(n)) * (0.8 + 0.4*rand.Float64()))
}

// looks are the waits for what a registry shows late, 30 s together.
var looks = [...]time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second}

// late takes "there is no such thing" for "not yet": it has just been sent.
func late(err error) error {
	if absent(err) {
		return marked{err, errNotYet}
	}
	return err
}

// attemptKey finds the attempt in the context of its requests.
type attemptKey struct{}

// attempt is what the transport and retry know of one attempt.
type attempt struct {
	n          int          // 0 is the first
	retryAfter atomic.Int64 // nanoseconds that the registry asked for
}

// retry calls f until it succeeds, fails for good, has failed too often, or has
// not seen for 30 s what has just been sent. what names the work in the log.
func retry(ctx context.Context, how patience, clock Clock, log io.Writer, what string, f func(context.Context) error) error {
	var n, looked int
	var waited time.Duration
	for {
		this := &attempt{n: n}
		err := f(context.WithValue(ctx, attemptKey{}, this))
		var wait time.Duration
		most := how.attempts
		if errors.Is(err, errLogin) {
			most = how.logins
		}
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errNotYet):
			if looked == len(looks) {
				return fmt.Errorf("%w, still so %s after it was sent; publish again later, what is there already is kept", explain(err), waited.Round(time.Second))
			}
			wait = looks[looked]
			looked++
			fmt.Fprintf(log, "%s: %v; the registry may show late what was sent, asking again in %s\n", what, explain(err), wait)
		case !passing(err) && !(n == 0 && outdated(err)) && !(n < 2 && garbled(err)):
			return explain(err)
		case n >= most-1:
			return fmt.Errorf("%w, %d times in %s%s%s", explain(err), n+1, waited.Round(time.Second), how.advice, ifBroken(err))
		default:
			wait = max(pause(n), time.Duration(this.retryAfter.Load()))
			if wait > how.longest {
				return fmt.Errorf("%w; the registry asks to come back in %s", explain(err), wait.Round(time.Second))
			}
			n++
			fmt.Fprintf(log, "%s: %v; attempt %d of %d in %s\n", what, explain(err), n+1, most, wait.Round(100*time.Millisecond))
		}
		if err := clock.sleep(ctx, wait); err != nil {
			return err
		}
		waited += wait
	}
}

// ifBroken is the way out when an error does not pass by itself: a full disk
// leaves what docker-registry then keeps, and cannot read, for ever.
func ifBroken(err error) string {
	if answer(err).StatusCode == http.StatusInternalServerError {
		return "; if it stays so, it is broken there: delete it"
	}
	return ""
}

// passing says if a failure is one that goes away by itself.
func passing(err error) bool {
	if errors.Is(err, errDropped) { // though another way may have been tried as well: plain http on loopback
		return true
	}
	a := answer(err)
	return passingStatus(a.StatusCode) ||
		// It has lost an upload half-way, or does not see yet what was just pushed to
		// it. To start the upload again, or to wait a moment, helps.
		says(a, transport.BlobUploadUnknownErrorCode, transport.BlobUploadInvalidErrorCode, transport.ManifestBlobUnknownErrorCode) ||
		a.Request.Method == http.MethodPut && says(a, transport.ManifestUnknownErrorCode) // of an index whose images it does not see yet
}

func passingStatus(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500
}

// garbled says if a registry found something else in an upload than was sent: the
// line broke, and the transport sent a part of it, or its end, once more. What lies
// here may be damaged too, so the upload is begun again twice at most.
func garbled(err error) bool {
	a := answer(err)
	return !strings.Contains(a.Request.URL.Path, "/manifests/") && says(a, transport.DigestInvalidErrorCode)
}

// outdated says if a token was refused that had just been issued: it may have
// lived for less than its way took.
func outdated(err error) bool {
	a := answer(err)
	return a.StatusCode == http.StatusUnauthorized && strings.HasPrefix(a.Request.Header.Get("Authorization"), "Bearer ")
}
