package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// userAgent is how requests name who asks.
const userAgent = "docker-netbox"

// Source is how images are read from registries. The zero value uses docker's
// configuration and the network. A name with http:// in front is asked in
// plain http, as are those on loopback.
type Source struct {
	Keychain  authn.Keychain
	Transport http.RoundTripper
	Stall     time.Duration // as in Options
}

// options are those of one request. plain is a registry that plain http was
// asked for, or "".
func (s Source) options(ctx context.Context, plain string) []remote.Option {
	through := newGuard(s.Transport, s.Stall, Clock{})
	through.plain[plain] = true
	return []remote.Option{
		remote.WithContext(ctx), remote.WithUserAgent(userAgent),
		remote.WithAuthFromKeychain(s.keychain()), remote.WithTransport(through),
	}
}

// cutPlain takes the http:// off a name; plain is then the name's registry.
func cutPlain(reference string) (rest, plain string, opts []name.Option) {
	rest, asked := strings.CutPrefix(reference, "http://")
	opts = []name.Option{name.StrictValidation}
	host, _, _ := strings.Cut(rest, "/")
	if asked || isLoopback(host) {
		plain, opts = host, append(opts, name.Insecure)
	}
	return rest, plain, opts
}

func (s Source) keychain() authn.Keychain {
	if s.Keychain == nil {
		return authn.DefaultKeychain
	}
	return s.Keychain
}

// Fetch gives the images that a repository holds by their digests, by Key of
// their platforms. Their layers are read when they are used.
func (s Source) Fetch(ctx context.Context, repository string, digests map[string]v1.Hash) ([]PlatformImage, error) {
	repository, plain, strict := cutPlain(repository)
	repo, err := name.NewRepository(repository, strict...)
	if err != nil {
		return nil, failure.Usagef("read images from %q: %w: name it as REGISTRY/NAME", repository, err)
	}
	var images []PlatformImage
	for key, digest := range digests {
		img, err := remote.Image(repo.Digest(digest.String()), s.options(ctx, plain)...)
		if err != nil {
			return nil, fmt.Errorf("read the image of %s from %s@%s: %w", key, repository, digest, err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			return nil, fmt.Errorf("read the configuration of %s@%s: %w", repository, digest, err)
		}
		platform := v1.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant}
		if Key(platform) != key {
			return nil, fmt.Errorf("read the image of %s: %s@%s is for %s", key, repository, digest, platform)
		}
		images = append(images, PlatformImage{Platform: Canonical(platform), Image: img})
	}
	return images, nil
}

// Index gives the index that a reference points at, or nil when there is no
// such thing.
func (s Source) Index(ctx context.Context, reference string) (v1.ImageIndex, error) {
	reference, plain, strict := cutPlain(reference)
	ref, err := name.ParseReference(reference, strict...)
	if err != nil {
		return nil, failure.Usagef("read %q: %w: name it as REGISTRY/NAME:TAG", reference, err)
	}
	idx, err := remote.Index(ref, s.options(ctx, plain)...)
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", reference, err)
	}
	return idx, nil
}

// Digest asks a registry what a reference points at.
func (s Source) Digest(ctx context.Context, reference string) (v1.Hash, error) {
	reference, plain, _ := cutPlain(reference)
	ref, err := name.ParseReference(reference)
	if err != nil {
		return v1.Hash{}, failure.Usagef("read %q: %w: name it as REGISTRY/NAME:TAG", reference, err)
	}
	desc, err := remote.Head(ref, s.options(ctx, plain)...)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("ask for the digest of %s: %w", reference, err)
	}
	return desc.Digest, nil
}

// absent tells whether a registry said that there is no such thing. Some
// registries answer 401 for every repository that does not exist, ghcr.io 403;
// taking those for absent would start a project anew when a token has expired.
func absent(err error) bool {
	var status *transport.Error
	return errors.As(err, &status) && status.StatusCode == http.StatusNotFound
}
