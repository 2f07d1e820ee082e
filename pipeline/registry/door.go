package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// door is the one way into a repository: who pushes and who pulls go in with the
// same token, which is asked for when the first request comes. It puts answers
// that registries word differently into the one form that clients know.
type door struct {
	repo   name.Repository
	keys   authn.Keychain
	line   http.RoundTripper
	scopes []string
	clock  Clock
	// asksAgain is for requests that nobody above repeats: what reads.
	asksAgain bool
	log       io.Writer

	lock  chan struct{} // held by who logs in
	in    atomic.Pointer[http.RoundTripper]
	lists atomic.Pointer[verdict]
}

// verdict is what is known of a registry's referrers API.
type verdict struct {
	supported bool
	// passing is why it could not be asked, when that may be otherwise later.
	passing error
}

func newDoor(repo name.Repository, keys authn.Keychain, line http.RoundTripper, clock Clock, scopes ...string) *door {
	return &door{
		repo: repo, keys: keys, line: transport.NewUserAgent(line, userAgent), scopes: scopes,
		clock: clock, log: io.Discard, lock: make(chan struct{}, 1),
	}
}

// refused is a failure to log in, before the request itself.
type refused struct{ err error }

func (r *refused) Error() string { return r.err.Error() }
func (r *refused) Unwrap() error { return r.err }

// enter logs in, once.
func (d *door) enter(ctx context.Context) (http.RoundTripper, error) {
	if in := d.in.Load(); in != nil {
		return *in, nil
	}
	select {
	case d.lock <- struct{}{}:
		defer func() { <-d.lock }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if in := d.in.Load(); in != nil {
		return *in, nil
	}
	auth, err := authn.Resolve(ctx, d.keys, d.repo)
	if err != nil {
		return nil, &refused{err}
	}
	in, err := transport.NewWithContext(ctx, d.repo.Registry, auth, d.line, d.scopes)
	if err != nil {
		return nil, &refused{err}
	}
	d.in.Store(&in)
	return in, nil
}

// RoundTrip is http.RoundTripper's.
func (d *door) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Path == "/v2/" { // the client's greeting: whether to log in is seen to here
		return answer(req, http.StatusOK, "", nil), nil
	}
	if !d.asksAgain {
		return d.pass(req)
	}
	return d.again(req)
}

func (d *door) pass(req *http.Request) (*http.Response, error) {
	in, err := d.enter(req.Context())
	if err != nil {
		return nil, err
	}
	switch {
	case isReferrers(req):
		return d.referrers(in, req)
	case req.Method == http.MethodHead && strings.Contains(req.URL.Path, "/manifests/"):
		return head(in, req)
	}
	return in.RoundTrip(req)
}

// head asks by GET what a registry does not say of a manifest by HEAD.
func head(in http.RoundTripper, req *http.Request) (*http.Response, error) {
	resp, err := in.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusMethodNotAllowed {
		return resp, err
	}
	if resp.StatusCode == http.StatusOK && resp.ContentLength >= 0 && resp.Header.Get("Content-Type") != "" && resp.Header.Get("Docker-Content-Digest") != "" {
		return resp, nil
	}
	_ = resp.Body.Close()
	get := req.Clone(req.Context())
	get.Method = http.MethodGet
	if resp, err = in.RoundTrip(get); err != nil || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	body, err := readSome(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body, resp.ContentLength = http.NoBody, int64(len(body))
	resp.Header.Set("Docker-Content-Digest", fmt.Sprintf("sha256:%x", sha256.Sum256(body)))
	if resp.Header.Get("Content-Type") == "" {
		var said struct {
			MediaType string `json:"mediaType"`
		}
		_ = json.Unmarshal(body, &said)
		resp.Header.Set("Content-Type", said.MediaType)
	}
	return resp, nil
}

// longestManifest is how much of an answer is held in memory.
const longestManifest = 32 << 20

func readSome(body io.ReadCloser) ([]byte, error) {
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, longestManifest))
}

func isReferrers(req *http.Request) bool {
	return req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/referrers/sha256:")
}

// patience is how long it is tried to find out whether a registry lists
// referrers.
const patience = 10 * time.Second

// referrers asks a registry for its list of referrers. Whatever answers with
// anything but an OCI index does not list them: a page, a redirect to one, a
// refusal, an error that stays. It is then said to have no such thing, and not
// asked again. Errors are only taken for that from a registry that has never
// listed any.
func (d *door) referrers(in http.RoundTripper, req *http.Request) (*http.Response, error) {
	for n := 0; ; n++ {
		known := d.lists.Load()
		if known != nil && !known.supported {
			return answer(req, http.StatusNotFound, "", nil), nil
		}
		resp, err := in.RoundTrip(req.Clone(req.Context()))
		var body []byte
		if err == nil && resp.StatusCode == http.StatusOK {
			body, err = readSome(resp.Body)
		}
		switch {
		case req.Context().Err() != nil:
			return nil, req.Context().Err()
		case err == nil && isIndex(resp.Header.Get("Content-Type"), body):
			d.lists.Store(&verdict{supported: true})
			return answer(req, http.StatusOK, string(types.OCIImageIndex), body), nil
		case known != nil && err != nil:
			return nil, err
		case known != nil:
			if body != nil {
				resp.Body = io.NopCloser(bytes.NewReader(body))
			}
			return resp, nil
		}
		if err == nil {
			_ = resp.Body.Close()
		}
		if err == nil && !passingStatus(resp.StatusCode) {
			d.lists.Store(&verdict{})
			continue
		}
		wait := pause(n)
		if err == nil {
			wait = max(wait, retryAfter(resp.Header.Get("Retry-After"), d.clock.now()))
			err = fmt.Errorf("the registry answered %s when it was asked what is attached", resp.Status)
		}
		if n == 2 || wait > patience {
			d.lists.Store(&verdict{passing: err})
			continue
		}
		if err := d.clock.sleep(req.Context(), wait); err != nil {
			return nil, err
		}
	}
}

// isIndex says if a text, and what it comes as, is an OCI index.
func isIndex(mediaType string, text []byte) bool {
	mediaType, _, _ = strings.Cut(mediaType, ";")
	var index v1.IndexManifest
	return mediaType == string(types.OCIImageIndex) && json.Unmarshal(text, &index) == nil &&
		index.SchemaVersion == 2 && (index.MediaType == types.OCIImageIndex || index.MediaType == "")
}

// answer is one that no registry made.
func answer(req *http.Request, status int, mediaType string, body []byte) *http.Response {
	resp := &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: req,
	}
	if mediaType != "" {
		resp.Header.Set("Content-Type", mediaType)
	}
	return resp
}

// writing is a door for who writes manifests. What is attached is listed by us,
// once for all of it: the client would ask for each manifest, and write each
// list as often as it gets longer.
type writing struct{ *door }

// RoundTrip is http.RoundTripper's.
func (w writing) RoundTrip(req *http.Request) (*http.Response, error) {
	if isReferrers(req) {
		return answer(req, http.StatusOK, string(types.OCIImageIndex), nil), nil
	}
	return w.door.RoundTrip(req)
}

// again repeats what failed and passes by itself, like retry does for a push. A
// body that breaks off is read on from where it broke.
func (d *door) again(req *http.Request) (*http.Response, error) {
	var waited time.Duration
	for n := 0; ; n++ {
		resp, err := d.pass(req.Clone(req.Context()))
		wait, most := pause(n), attempts
		var shut *refused
		if errors.As(err, &shut) { // nobody has answered yet: it may be the wrong port
			most = 3
		}
		switch {
		case req.Context().Err() != nil, err != nil && !passing(err):
			return resp, err
		case err == nil && !passingStatus(resp.StatusCode):
			if req.Method == http.MethodGet && resp.StatusCode == http.StatusOK {
				resp.Body = &resumed{ReadCloser: resp.Body, door: d, req: req, size: resp.ContentLength}
			}
			return resp, nil
		case err == nil:
			wait = max(wait, retryAfter(resp.Header.Get("Retry-After"), d.clock.now()))
		}
		if err != nil && n == most-1 {
			return nil, &dropped{fmt.Errorf("%v, %d times in %s", explain(err), most, waited.Round(time.Second))}
		}
		if n == most-1 || wait > longestWait {
			return resp, err
		}
		why := err
		if err == nil {
			_ = resp.Body.Close()
			why = fmt.Errorf("the registry answered %s", resp.Status)
		}
		fmt.Fprintf(d.log, "reading from %s: %v; attempt %d of %d in %s\n", d.repo, explain(why), n+2, most, wait.Round(100*time.Millisecond))
		waited += wait
		if err := d.clock.sleep(req.Context(), wait); err != nil {
			return nil, err
		}
	}
}

// resumed is a body that is asked for again where it broke off.
type resumed struct {
	io.ReadCloser
	door *door
	req  *http.Request
	size int64 // -1 when nobody knows
	read int64
	n    int   // times that it broke
	err  error // of ReadCloser, which may not say it twice
}

func (r *resumed) Read(p []byte) (int, error) {
	if r.err == nil {
		var n int
		n, r.err = r.ReadCloser.Read(p)
		r.read += int64(n)
		if n > 0 || r.err == nil {
			return n, nil
		}
	}
	if r.err == io.EOF || !passing(r.err) || r.n == attempts-1 {
		return 0, r.err
	}
	r.n++
	if slept := r.door.clock.sleep(r.req.Context(), pause(r.n-1)); slept != nil {
		return 0, slept
	}
	req := r.req.Clone(r.req.Context())
	if r.size > r.read {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", r.read, r.size-1)) // not all take an open end
	}
	resp, failed := r.door.pass(req)
	if failed != nil {
		return 0, nil // to be asked again
	}
	switch resp.StatusCode {
	case http.StatusPartialContent:
	case http.StatusOK:
		if _, failed := io.CopyN(io.Discard, resp.Body, r.read); failed != nil {
			_ = resp.Body.Close()
			return 0, nil
		}
	default:
		_ = resp.Body.Close()
		return 0, r.err
	}
	_ = r.ReadCloser.Close()
	r.ReadCloser, r.err = resp.Body, nil
	return 0, nil
}
