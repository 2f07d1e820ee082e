package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// Source is how images are read from registries. The zero value uses docker's
// configuration and the network.
type Source struct {
	Keychain  authn.Keychain
	Transport http.RoundTripper
}

func (s Source) options(ctx context.Context) []remote.Option {
	opts := []remote.Option{remote.WithContext(ctx), remote.WithUserAgent("docker-netbox"), remote.WithAuthFromKeychain(s.keychain())}
	if s.Transport != nil {
		opts = append(opts, remote.WithTransport(s.Transport))
	}
	return opts
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
	repo, err := name.NewRepository(repository, name.StrictValidation)
	if err != nil {
		return nil, failure.Usagef("read images from %q: %w: name it as REGISTRY/NAME", repository, err)
	}
	var images []PlatformImage
	for key, digest := range digests {
		img, err := remote.Image(repo.Digest(digest.String()), s.options(ctx)...)
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
	ref, err := name.ParseReference(reference, name.StrictValidation)
	if err != nil {
		return nil, failure.Usagef("read %q: %w: name it as REGISTRY/NAME:TAG", reference, err)
	}
	idx, err := remote.Index(ref, s.options(ctx)...)
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
	ref, err := name.ParseReference(reference)
	if err != nil {
		return v1.Hash{}, failure.Usagef("read %q: %w: name it as REGISTRY/NAME:TAG", reference, err)
	}
	desc, err := remote.Head(ref, s.options(ctx)...)
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
