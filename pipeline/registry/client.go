package registry

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// repoClient sends all requests to one repository. Pushes and pulls share a
// token, which is fetched before the first request. Responses that vary between
// registries are normalized to the form that go-containerregistry expects.
type repoClient struct {
	repo     name.Repository
	keychain authn.Keychain
	base     http.RoundTripper
	action   string // with transport.PullScope requests are retried here, as no caller does it
	scopes   []string
	clock    Clock
	log      io.Writer

	lock          sync.Mutex        // guards authenticated
	authenticated http.RoundTripper // nil before the login

	// Both use the repoClient as their transport. They neither log in nor retry.
	pusher *remote.Pusher
	puller *remote.Puller // caches no content
}

func newRepoClient(repo name.Repository, action string, keychain authn.Keychain, base baseTransport, log io.Writer) *repoClient {
	c := &repoClient{
		repo: repo, action: action, scopes: []string{repo.Scope(action)}, keychain: cmp.Or[authn.Keychain](keychain, authn.DefaultKeychain), base: transport.NewUserAgent(base, userAgent),
		clock: base.clock, log: cmp.Or(log, io.Discard),
	}
	opts := []remote.Option{
		remote.WithTransport(c),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
		remote.WithRetryPredicate(func(error) bool { return false }),
		remote.WithRetryStatusCodes(),
	}
	c.pusher, _ = remote.NewPusher(opts...) // fails only when two ways to log in are set
	c.puller, _ = remote.NewPuller(opts...)
	return c
}

// authenticate logs in once and returns the transport that carries the token.
func (c *repoClient) authenticate(ctx context.Context) (http.RoundTripper, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.authenticated != nil {
		return c.authenticated, nil
	}
	auth, err := authn.Resolve(ctx, c.keychain, c.repo)
	if err == nil {
		c.authenticated, err = transport.NewWithContext(ctx, c.repo.Registry, auth, c.base, c.scopes)
	}
	if err != nil {
		return nil, classifiedError{err, errLogin}
	}
	return c.authenticated, nil
}

// RoundTrip implements http.RoundTripper.
func (c *repoClient) RoundTrip(req *http.Request) (*http.Response, error) {
	switch {
	case req.URL.Path == "/v2/": // the client's ping: authenticate handles the login
		return emptyOK(req), nil
	case strings.Contains(req.URL.Path, "/referrers/sha256:"):
		// After each attachment the client checks whether referrers are listed, and
		// updates the referrers tag if not. ensureListed updates it once for all.
		return emptyOK(req), nil
	case c.action != transport.PullScope:
		return c.send(req)
	}
	resp, err := c.sendWithRetry(req, 0)
	if err == nil && req.Method == http.MethodGet && resp.StatusCode == http.StatusOK {
		resp.Body = &resumingBody{ReadCloser: resp.Body, client: c, req: req, size: resp.ContentLength}
	}
	return resp, err
}

// emptyOK returns an empty 200 response without sending the request.
func emptyOK(req *http.Request) *http.Response {
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, Request: req,
	}
}

// send sends one request, after logging in if necessary.
func (c *repoClient) send(req *http.Request) (*http.Response, error) {
	authenticated, err := c.authenticate(req.Context())
	if err != nil {
		return nil, err
	}
	if req.Method == http.MethodHead && strings.Contains(req.URL.Path, "/manifests/") {
		return headManifest(authenticated, req)
	}
	return authenticated.RoundTrip(req)
}

// headManifest falls back to GET when a registry's response to HEAD has no digest.
// The client also requires a length and a media type; nothing uses these.
func headManifest(authenticated http.RoundTripper, req *http.Request) (*http.Response, error) {
	resp, err := authenticated.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusMethodNotAllowed {
		return resp, err
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Docker-Content-Digest") == "" {
		_ = resp.Body.Close()
		get := req.Clone(req.Context())
		get.Method = http.MethodGet
		if resp, err = authenticated.RoundTrip(get); err != nil || resp.StatusCode != http.StatusOK {
			return resp, err
		}
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxManifestSize))
		_ = resp.Body.Close()
		if err != nil {
			return nil, err
		}
		resp.Body = http.NoBody
		resp.Header.Set("Docker-Content-Digest", fmt.Sprintf("sha256:%x", sha256.Sum256(body)))
	}
	resp.ContentLength = max(resp.ContentLength, 0)
	resp.Header.Set("Content-Type", cmp.Or(resp.Header.Get("Content-Type"), "application/octet-stream"))
	return resp, nil
}

// maxManifestSize limits how much of a response is read into memory, in bytes.
const maxManifestSize = 32 << 20

// referrers returns the referrers that a registry lists for a subject. lists is
// false when the response is not an OCI index: a page, a redirect to one, a refusal.
func (c *repoClient) referrers(ctx context.Context, subject v1.Hash) (list []v1.Descriptor, lists bool, err error) {
	address := fmt.Sprintf("%s://%s/v2/%s/referrers/%s", c.repo.Scheme(), c.repo.RegistryStr(), c.repo.RepositoryStr(), subject)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, false, err
	}
	req.Header.Set("Accept", string(types.OCIImageIndex))
	resp, err := c.send(req)
	if err != nil {
		return nil, false, err
	}
	defer resp.Body.Close()
	if isTemporaryStatus(resp.StatusCode) {
		return nil, false, transport.CheckError(resp)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxManifestSize))
	if err != nil {
		return nil, false, err
	}
	mediaType, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	var index v1.IndexManifest
	lists = resp.StatusCode == http.StatusOK && mediaType == string(types.OCIImageIndex) && json.Unmarshal(body, &index) == nil &&
		index.SchemaVersion == 2 && (index.MediaType == types.OCIImageIndex || index.MediaType == "")
	return index.Manifests, lists, nil
}

// sendWithRetry retries temporary failures. If the response has the whole body, it
// skips the bytes that have been read already.
func (c *repoClient) sendWithRetry(req *http.Request, read int64) (resp *http.Response, err error) {
	err = c.retry(req.Context(), readPolicy, "reading from "+c.repo.String(), func(ctx context.Context) error {
		if resp, err = c.send(req.Clone(ctx)); err != nil {
			return err
		}
		switch {
		case isTemporaryStatus(resp.StatusCode):
			err = transport.CheckError(resp)
		case resp.StatusCode == http.StatusOK:
			if _, err = io.CopyN(io.Discard, resp.Body, read); err == io.EOF {
				// A plain io.EOF would look like the end of the body.
				err = classifiedError{io.ErrUnexpectedEOF, errDropped}
			}
		}
		if err != nil {
			_ = resp.Body.Close()
			resp = nil
		}
		return err
	})
	return resp, err
}

// resumingBody is a response body that resumes where the connection broke.
type resumingBody struct {
	io.ReadCloser
	client  *repoClient
	req     *http.Request
	size    int64 // -1 when unknown
	read    int64
	retries int
}

func (r *resumingBody) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.read += int64(n)
	if !isTemporary(err) || r.retries == readPolicy.attempts-1 {
		return n, err
	}
	if sleepErr := r.client.clock.sleep(r.req.Context(), backoff(r.retries)); sleepErr != nil {
		return n, sleepErr
	}
	r.retries++
	req := r.req.Clone(r.req.Context())
	if r.size > r.read {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", r.read, r.size-1)) // some registries reject an open end
	}
	resp, retryErr := r.client.sendWithRetry(req, r.read)
	if retryErr != nil {
		return n, retryErr
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent {
		_ = resp.Body.Close()
		return n, err
	}
	_ = r.ReadCloser.Close()
	r.ReadCloser = resp.Body
	return n, nil
}
