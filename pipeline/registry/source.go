package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
)

// userAgent is the User-Agent of all requests.
const userAgent = "docker-netbox"

// Source reads images from registries. The zero value uses docker's configuration
// and the network. Plain http is used on loopback and for names with http:// in
// front. Temporary failures are retried as in Publish.
type Source struct {
	Keychain  authn.Keychain
	Transport http.RoundTripper // for all requests; nil creates one per call
	Clock     Clock
	Log       io.Writer // receives a line for each retry; nil discards them
}

// open parses a reference, and returns it with the store of its repository.
func (s Source) open(ctx context.Context, reference string, opts ...name.Option) (name.Reference, repositoryStore, error) {
	rest, plainHost := cutHTTP(reference)
	if plainHost != "" {
		opts = append(opts, name.Insecure)
	}
	ref, err := name.ParseReference(rest, opts...)
	if err != nil {
		return nil, repositoryStore{}, failure.Usagef("read %q: %w: name it as REGISTRY/NAME:TAG or REGISTRY/NAME@DIGEST", reference, err)
	}
	base := cmp.Or[http.RoundTripper](s.Transport, NewTransport(0, nil))
	return ref, repositoryStore{ctx, newRepoClient(ref.Context(), transport.PullScope, s.Keychain, baseTransport{base, s.Clock, plainHost}, s.Log)}, nil
}

// get reads the manifest of a reference, nil if it does not exist.
func (s Source) get(ctx context.Context, reference string) (*remote.Descriptor, repositoryStore, error) {
	ref, store, err := s.open(ctx, reference, name.StrictValidation)
	if err != nil {
		return nil, store, err
	}
	got, err := store.puller.Get(ctx, ref)
	if isNotFound(err) {
		return nil, store, nil
	}
	if err != nil {
		return nil, store, fmt.Errorf("read %s: %w", reference, readError(err))
	}
	return got, store, nil
}

// cutHTTP removes a leading http:// from a name. plainHost is the registry if plain http
// is allowed for it, or "".
func cutHTTP(reference string) (rest, plainHost string) {
	rest, insecure := strings.CutPrefix(reference, "http://")
	if host, _, _ := strings.Cut(rest, "/"); insecure || isLoopback(host) {
		plainHost = host
	}
	return rest, plainHost
}

// Fetch returns the images of a repository with the given digests, which are keyed
// by Key of the platforms. It reads no layers.
func (s Source) Fetch(ctx context.Context, repository string, digests map[string]v1.Hash) ([]PlatformImage, error) {
	var images []PlatformImage
	for key, digest := range digests {
		_, store, err := s.open(ctx, repository+"@"+digest.String(), name.StrictValidation)
		if err != nil {
			return nil, err
		}
		img, err := store.ByDigest(digest)
		if err != nil {
			return nil, fmt.Errorf("read the image of %s from %s@%s: %w", key, repository, digest, err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			return nil, fmt.Errorf("read the configuration of %s@%s: %w", repository, digest, readError(err))
		}
		got := v1.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant}
		if Key(got) != key {
			return nil, fmt.Errorf("read the image of %s: %s@%s is for %s", key, repository, digest, got)
		}
		images = append(images, PlatformImage{Platform: platform.Canonical(got), Image: img})
	}
	return images, nil
}

// Index returns the index that a reference points at, nil if it does not exist.
func (s Source) Index(ctx context.Context, reference string) (v1.ImageIndex, error) {
	got, _, err := s.get(ctx, reference)
	if got == nil || err != nil {
		return nil, err
	}
	if !got.MediaType.IsIndex() {
		return nil, fmt.Errorf("read %s: it is one image (%s) and no index of several", reference, got.Digest)
	}
	return got.ImageIndex()
}

// Tagged returns the digest that a tag points at and the commit in its annotation or
// label. Both are "" if the tag does not exist.
func (s Source) Tagged(ctx context.Context, reference string) (digest, commit string, err error) {
	got, _, err := s.get(ctx, reference)
	if got == nil || err != nil {
		return "", "", err
	}
	return got.Digest.String(), revisionOf(got), nil
}

// Digest returns the digest that a reference points at.
func (s Source) Digest(ctx context.Context, reference string) (v1.Hash, error) {
	ref, store, err := s.open(ctx, reference)
	if err != nil {
		return v1.Hash{}, err
	}
	desc, err := store.puller.Head(ctx, ref)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("ask for the digest of %s: %w", reference, readError(err))
	}
	return desc.Digest, nil
}

// readError explains why reading failed, after the retries.
func readError(err error) error {
	if err = explain(err); isTemporary(err) {
		return fmt.Errorf("%w; try again later", err)
	}
	return err
}

// isNotFound reports whether a registry responded with 404. For a repository that
// does not exist some registries respond with 401, ghcr.io with 403. These do not
// count: an expired token would make a project start from nothing.
func isNotFound(err error) bool {
	return responseError(err).StatusCode == http.StatusNotFound
}

// Opened is an index or a single image, with the store that it is in.
type Opened struct {
	Digest v1.Hash
	Index  v1.ImageIndex // nil for a single image
	Image  v1.Image      // nil for an index
	Store
}

// Store reads the other content of a repository or layout: referrers and images.
type Store interface {
	// Referrers returns the manifests that name a digest as their subject.
	Referrers(subject v1.Hash) ([]v1.Descriptor, error)
	// ByDigest returns the image or document with a digest.
	ByDigest(digest v1.Hash) (v1.Image, error)
	// ByTag returns the image with a tag, nil if the tag does not exist.
	ByTag(tag string) (v1.Image, error)
}

// Open reads a reference, whose default tag is latest, or the layout oci:DIR. ctx
// also applies to everything that is read later by way of the result.
func (s Source) Open(ctx context.Context, reference string) (Opened, error) {
	if dir, ok := strings.CutPrefix(reference, "oci:"); ok {
		return OpenLayout(dir)
	}
	if last := reference[strings.LastIndex(reference, "/")+1:]; strings.Contains(reference, "/") && !strings.ContainsAny(last, ":@") {
		reference += ":latest"
	}
	got, store, err := s.get(ctx, reference)
	if err != nil {
		return Opened{}, err
	}
	if got == nil {
		return Opened{}, fmt.Errorf("read %s: the registry has no such thing", reference)
	}
	o := Opened{Digest: got.Digest, Store: store}
	if got.MediaType.IsIndex() {
		o.Index, err = got.ImageIndex()
	} else {
		o.Image, err = got.Image()
	}
	if err != nil {
		return Opened{}, fmt.Errorf("read %s: %w", reference, explain(err))
	}
	return o, nil
}

// repositoryStore is the Store of a repository in a registry.
type repositoryStore struct {
	ctx context.Context
	*repoClient
}

// Referrers returns those that the registry lists or, if there are none, those of the
// referrers tag.
func (r repositoryStore) Referrers(subject v1.Hash) (list []v1.Descriptor, err error) {
	err = r.retry(r.ctx, referrersPolicy, "asking what is attached to "+subject.String(), func(ctx context.Context) (err error) {
		list, _, err = r.repoClient.referrers(ctx, subject)
		return err
	})
	if err == nil && len(list) == 0 {
		list, err = readReferrersTag(r.ctx, r.puller, r.repo.Tag(referrersTag(subject)))
	}
	if err != nil {
		return nil, readError(err)
	}
	return list, nil
}

func (r repositoryStore) ByDigest(digest v1.Hash) (v1.Image, error) {
	return r.image(r.repo.Digest(digest.String()))
}

func (r repositoryStore) ByTag(tag string) (v1.Image, error) {
	img, err := r.image(r.repo.Tag(tag))
	if isNotFound(err) {
		return nil, nil
	}
	return img, err
}

func (r repositoryStore) image(ref name.Reference) (v1.Image, error) {
	got, err := r.puller.Get(r.ctx, ref)
	if err != nil {
		return nil, readError(err)
	}
	return got.Image()
}

// OpenLayout reads the only index of an OCI layout, such as dist/image. The other
// manifests of the layout may be its referrers.
func OpenLayout(dir string) (Opened, error) {
	bad := func(err error) (Opened, error) { return Opened{}, layoutError(dir, err) }
	root, err := layout.ImageIndexFromPath(dir)
	if _, statErr := os.Stat(dir); errors.Is(statErr, fs.ErrNotExist) {
		return Opened{}, failure.Usagef("read the image layout %s: there is none; make it with `go run ./ci build`", dir)
	}
	if err != nil {
		return bad(err)
	}
	manifest, err := root.IndexManifest()
	if err != nil {
		return bad(err)
	}
	indexes := slices.DeleteFunc(slices.Clone(manifest.Manifests), func(d v1.Descriptor) bool { return !d.MediaType.IsIndex() })
	if len(indexes) != 1 {
		return bad(fmt.Errorf("it holds %d indexes, not one", len(indexes)))
	}
	o := Opened{Digest: indexes[0].Digest, Store: layoutStore{root, manifest.Manifests}}
	if o.Index, err = root.ImageIndex(o.Digest); err != nil {
		return bad(err)
	}
	if got, err := o.Index.Digest(); err != nil {
		return bad(err)
	} else if got != o.Digest {
		return bad(fmt.Errorf("its index is damaged: it is %s, not %s", got, o.Digest))
	}
	return o, nil
}

// layoutStore is the Store of an OCI layout.
type layoutStore struct {
	root   v1.ImageIndex
	listed []v1.Descriptor
}

func (l layoutStore) Referrers(subject v1.Hash) ([]v1.Descriptor, error) {
	var found []v1.Descriptor
	for _, d := range l.listed {
		if !d.MediaType.IsImage() {
			continue
		}
		img, err := l.ByDigest(d.Digest)
		if err != nil {
			return nil, err
		}
		if manifest, err := img.Manifest(); err != nil {
			return nil, err
		} else if manifest.Subject != nil && manifest.Subject.Digest == subject {
			found = append(found, d)
		}
	}
	return found, nil
}

func (l layoutStore) ByDigest(digest v1.Hash) (v1.Image, error) {
	return ImageIn(l.root, digest)
}

func (l layoutStore) ByTag(tag string) (v1.Image, error) {
	for _, d := range l.listed {
		if d.Annotations["org.opencontainers.image.ref.name"] == tag {
			return l.ByDigest(d.Digest)
		}
	}
	return nil, nil
}
