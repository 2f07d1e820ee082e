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

// userAgent is how requests name who asks.
const userAgent = "docker-netbox"

// Source is how images are read from registries. The zero value uses docker's
// configuration and the network. A name with http:// in front is asked in
// plain http, as are those on loopback. What fails and may pass is asked again,
// as when something is published.
type Source struct {
	Keychain  authn.Keychain
	Transport http.RoundTripper // shared by all requests; nil is one for each call
	Clock     Clock
	Log       io.Writer // what is waited for; nil is silence
}

// open is a reference, and the repository that it is in.
func (s Source) open(ctx context.Context, reference string, opts ...name.Option) (name.Reference, repositoryStore, error) {
	rest, plain := cutHTTP(reference)
	if plain != "" {
		opts = append(opts, name.Insecure)
	}
	ref, err := name.ParseReference(rest, opts...)
	if err != nil {
		return nil, repositoryStore{}, failure.Usagef("read %q: %w: name it as REGISTRY/NAME:TAG or REGISTRY/NAME@DIGEST", reference, err)
	}
	base := cmp.Or[http.RoundTripper](s.Transport, NewTransport(0, nil))
	return ref, repositoryStore{ctx, newRepoClient(ref.Context(), transport.PullScope, s.Keychain, baseTransport{base, s.Clock, plain}, s.Log)}, nil
}

// get reads what a reference points at, nil when there is no such thing.
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

// cutHTTP takes the http:// off a name. plain is the registry that plain http
// is asked for, or "".
func cutHTTP(reference string) (rest, plain string) {
	rest, insecure := strings.CutPrefix(reference, "http://")
	if host, _, _ := strings.Cut(rest, "/"); insecure || isLoopback(host) {
		plain = host
	}
	return rest, plain
}

// Fetch returns the images that a repository holds by their digests, by Key of
// their platforms. Their layers are read when they are used.
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

// Index is the index that a reference points at, or nil when there is no such
// thing.
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

// Tagged is the digest that a tag points at, and the commit that is said to be
// of, both "" when there is no such tag.
func (s Source) Tagged(ctx context.Context, reference string) (digest, commit string, err error) {
	got, _, err := s.get(ctx, reference)
	if got == nil || err != nil {
		return "", "", err
	}
	return got.Digest.String(), revisionOf(got), nil
}

// Digest asks a registry what a reference points at.
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

// readError explains why something could not be read, after it was tried again
// when that could have helped.
func readError(err error) error {
	if err = explain(err); isTemporary(err) {
		return fmt.Errorf("%w; try again later", err)
	}
	return err
}

// isNotFound reports whether a registry said that there is no such thing. Some
// registries answer 401 for every repository that does not exist, ghcr.io 403;
// taking those for absent would start a project from nothing when a token has expired.
func isNotFound(err error) bool {
	return responseError(err).StatusCode == http.StatusNotFound
}

// Opened is an index, or one image, where it lies, with what is beside it.
type Opened struct {
	Digest v1.Hash
	Index  v1.ImageIndex // nil when it is one image
	Image  v1.Image      // nil when it is an index
	Store
}

// Store is what lies beside an index.
type Store interface {
	// Referrers are the manifests that name a digest as their subject.
	Referrers(subject v1.Hash) ([]v1.Descriptor, error)
	// ByDigest returns the image, or the document, that has a digest.
	ByDigest(digest v1.Hash) (v1.Image, error)
	// ByTag is nil when there is no such tag.
	ByTag(tag string) (v1.Image, error)
}

// Open reads a reference, whose tag is latest when it has none, or oci:DIR, a
// layout. What is read through it ends with ctx.
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

// repositoryStore is a repository of a registry.
type repositoryStore struct {
	ctx context.Context
	*repoClient
}

// Referrers are those that the registry lists, and when it lists none those of
// the tag that has the list in registries that cannot.
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

// OpenLayout reads the one index of an OCI layout, such as dist/image. What
// else the layout lists may name it as its subject.
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

// layoutStore is an OCI layout.
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
