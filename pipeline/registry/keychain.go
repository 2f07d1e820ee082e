package registry

import (
	"context"
	"encoding/base64"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"golang.org/x/sync/semaphore"
)

// Environment finds credentials in variables, two a registry: for ghcr.io
// REGISTRY_USERNAME_GHCR_IO and REGISTRY_PASSWORD_GHCR_IO. A registry without
// them gets docker's configuration, whose credential helper may take as long as
// limit; DefaultStall when that is not above zero. hide receives every password
// and token that is used, also in the form that requests carry it in.
func Environment(getenv func(string) string, hide func(...string), limit time.Duration) authn.Keychain {
	if limit <= 0 {
		limit = DefaultStall
	}
	onMachine := machine{getenv, limit, semaphore.NewWeighted(1)}
	return hiding(func(ctx context.Context, resource authn.Resource) (authn.Authenticator, error) {
		suffix := variable(resource.RegistryStr())
		if password := getenv("REGISTRY_PASSWORD_" + suffix); password != "" {
			return &authn.Basic{Username: getenv("REGISTRY_USERNAME_" + suffix), Password: password}, nil
		}
		return onMachine.resolve(ctx, resource)
	}, hide)
}

// keychain is an authn.Keychain, and one that ends with a context.
type keychain func(context.Context, authn.Resource) (authn.Authenticator, error)

// Resolve is authn.Keychain's.
func (k keychain) Resolve(resource authn.Resource) (authn.Authenticator, error) {
	return k(context.Background(), resource)
}

// ResolveContext is authn.ContextKeychain's.
func (k keychain) ResolveContext(ctx context.Context, resource authn.Resource) (authn.Authenticator, error) {
	return k(ctx, resource)
}

// hiding reports the secrets that a keychain returns.
func hiding(find keychain, hide func(...string)) keychain {
	return func(ctx context.Context, resource authn.Resource) (authn.Authenticator, error) {
		auth, err := find(ctx, resource)
		if err != nil || auth == authn.Anonymous {
			return auth, err
		}
		found, err := auth.Authorization()
		if err != nil {
			return nil, err
		}
		if found.Password != "" {
			hide(found.Password, base64.StdEncoding.EncodeToString([]byte(found.Username+":"+found.Password)))
		}
		hide(found.Auth, found.IdentityToken, found.RegistryToken)
		return auth, nil
	}
}

// variable is how the names of a registry's variables end.
func variable(registry string) string {
	if registry == name.DefaultRegistry {
		registry = "docker.io" // as people know it
	}
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(registry))
}

// Password opens one registry, and no other.
func Password(registry, username, password string, hide func(...string)) authn.Keychain {
	return hiding(func(_ context.Context, resource authn.Resource) (authn.Authenticator, error) {
		if resource.RegistryStr() != registry {
			return authn.Anonymous, nil
		}
		return &authn.Basic{Username: username, Password: password}, nil
	}, hide)
}
