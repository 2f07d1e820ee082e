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

// door is the one way into a repository: who pushes and who pulls go in with the
// same token, which is asked for when the first request comes. It puts answers
// that registries word differently into the one form that clients know.
type door struct {
	repo   name.Repository
	keys   authn.Keychain
	line   http.RoundTripper
	action string // transport.PullScope is for who reads: nobody above repeats those requests
	scopes []string
	clock  Clock
	log    io.Writer

	lock sync.Mutex        // held by who logs in
	in   http.RoundTripper // nil before

	// Clients that go in by the door. They do not log in, and repeat nothing.
	pusher *remote.Pusher
	puller *remote.Puller // remembers no content
}

func newDoor(repo name.Repository, action string, keys authn.Keychain, line guard, log io.Writer) *door {
	d := &door{
		repo: repo, action: action, scopes: []string{repo.Scope(action)}, keys: cmp.Or[authn.Keychain](keys, authn.DefaultKeychain), line: transport.NewUserAgent(line, userAgent),
		clock: line.clock, log: cmp.Or(log, io.Discard),
	}
	opts := []remote.Option{
		remote.WithTransport(d),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
		remote.WithRetryPredicate(func(error) bool { return false }),
		remote.WithRetryStatusCodes(),
	}
	d.pusher, _ = remote.NewPusher(opts...) // only two ways to log in would be an error
	d.puller, _ = remote.NewPuller(opts...)
	return d
}

// enter logs in, once.
func (d *door) enter(ctx context.Context) (http.RoundTripper, error) {
	d.lock.Lock()
	defer d.lock.Unlock()
	if d.in != nil {
		return d.in, nil
	}
	auth, err := authn.Resolve(ctx, d.keys, d.repo)
	if err == nil {
		d.in, err = transport.NewWithContext(ctx, d.repo.Registry, auth, d.line, d.scopes)
	}
	if err != nil {
		return nil, marked{err, errLogin}
	}
	return d.in, nil
}

// RoundTrip is http.RoundTripper's.
func (d *door) RoundTrip(req *http.Request) (*http.Response, error) {
	switch {
	case req.URL.Path == "/v2/": // the client's greeting: whether to log in is seen to here
		return nod(req), nil
	case strings.Contains(req.URL.Path, "/referrers/sha256:"):
		// The client asks when it has written what is attached, and would write
		// a list as often as it gets longer. We do, once for all of it.
		return nod(req), nil
	case d.action != transport.PullScope:
		return d.pass(req)
	}
	resp, err := d.again(req, 0)
	if err == nil && req.Method == http.MethodGet && resp.StatusCode == http.StatusOK {
		resp.Body = &resumed{ReadCloser: resp.Body, door: d, req: req, size: resp.ContentLength}
	}
	return resp, err
}

// nod is an answer that no registry made.
func nod(req *http.Request) *http.Response {
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, Request: req,
	}
}

func (d *door) pass(req *http.Request) (*http.Response, error) {
	in, err := d.enter(req.Context())
	if err != nil {
		return nil, err
	}
	if req.Method == http.MethodHead && strings.Contains(req.URL.Path, "/manifests/") {
		return head(in, req)
	}
	return in.RoundTrip(req)
}

// head asks by GET for the digest of a manifest where a registry does not say it by
// HEAD. The client insists on a length and a type too, which nobody looks at.
func head(in http.RoundTripper, req *http.Request) (*http.Response, error) {
	resp, err := in.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusMethodNotAllowed {
		return resp, err
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Docker-Content-Digest") == "" {
		_ = resp.Body.Close()
		get := req.Clone(req.Context())
		get.Method = http.MethodGet
		if resp, err = in.RoundTrip(get); err != nil || resp.StatusCode != http.StatusOK {
			return resp, err
		}
		body, err := io.ReadAll(io.LimitReader(resp.Body, longestManifest))
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

// longestManifest is how much of an answer is held in memory.
const longestManifest = 32 << 20

// referrers asks a registry what it lists with a subject. Whatever answers with
// anything but an OCI index does not list: a page, a redirect to one, a refusal.
func (d *door) referrers(ctx context.Context, subject v1.Hash) (list []v1.Descriptor, lists bool, err error) {
	address := fmt.Sprintf("%s://%s/v2/%s/referrers/%s", d.repo.Scheme(), d.repo.RegistryStr(), d.repo.RepositoryStr(), subject)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, false, err
	}
	req.Header.Set("Accept", string(types.OCIImageIndex))
	resp, err := d.pass(req)
	if err != nil {
		return nil, false, err
	}
	defer resp.Body.Close()
	if passingStatus(resp.StatusCode) {
		return nil, false, transport.CheckError(resp)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, longestManifest))
	if err != nil {
		return nil, false, err
	}
	mediaType, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	var index v1.IndexManifest
	lists = resp.StatusCode == http.StatusOK && mediaType == string(types.OCIImageIndex) && json.Unmarshal(body, &index) == nil &&
		index.SchemaVersion == 2 && (index.MediaType == types.OCIImageIndex || index.MediaType == "")
	return index.Manifests, lists, nil
}

// again repeats what failed and passes by itself. Of an answer that has all of a
// body it skips what has been read.
func (d *door) again(req *http.Request, read int64) (resp *http.Response, err error) {
	err = d.retry(req.Context(), reading, "reading from "+d.repo.String(), func(ctx context.Context) error {
		if resp, err = d.pass(req.Clone(ctx)); err != nil {
			return err
		}
		switch {
		case passingStatus(resp.StatusCode):
			err = transport.CheckError(resp)
		case resp.StatusCode == http.StatusOK:
			if _, err = io.CopyN(io.Discard, resp.Body, read); err == io.EOF {
				err = io.ErrUnexpectedEOF // nobody may take it for the end
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

// resumed is a body that is asked for again where it broke off.
type resumed struct {
	io.ReadCloser
	door *door
	req  *http.Request
	size int64 // -1 when nobody knows
	read int64
	n    int // times that it broke
}

func (r *resumed) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.read += int64(n)
	if !passing(err) || r.n == reading.attempts-1 {
		return n, err
	}
	if slept := r.door.clock.sleep(r.req.Context(), pause(r.n)); slept != nil {
		return n, slept
	}
	r.n++
	req := r.req.Clone(r.req.Context())
	if r.size > r.read {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", r.read, r.size-1)) // not all take an open end
	}
	resp, failed := r.door.again(req, r.read)
	if failed != nil {
		return n, failed
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent {
		_ = resp.Body.Close()
		return n, err
	}
	_ = r.ReadCloser.Close()
	r.ReadCloser = resp.Body
	return n, nil
}
