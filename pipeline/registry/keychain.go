package registry

import (
	"context"
	"encoding/base64"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// Environment finds credentials in variables, two a registry: for ghcr.io
// REGISTRY_USERNAME_GHCR_IO and REGISTRY_PASSWORD_GHCR_IO. A registry without
// them gets docker's configuration, whose credential helper may take as long as
// limit; DefaultStall when that is not above zero. hide is given every password
// and token that is used, also in the form that requests carry it in.
func Environment(getenv func(string) string, hide func(...string), limit time.Duration) authn.Keychain {
	if limit <= 0 {
		limit = DefaultStall
	}
	return hiding{authn.NewMultiKeychain(environment{getenv}, machine{getenv, limit, make(chan struct{}, 1)}), hide}
}

// hiding reports the secrets that a keychain returns.
type hiding struct {
	authn.Keychain
	hide func(...string)
}

// Resolve is authn.Keychain's.
func (h hiding) Resolve(resource authn.Resource) (authn.Authenticator, error) {
	return h.ResolveContext(context.Background(), resource)
}

// ResolveContext is authn.ContextKeychain's.
func (h hiding) ResolveContext(ctx context.Context, resource authn.Resource) (authn.Authenticator, error) {
	auth, err := authn.Resolve(ctx, h.Keychain, resource)
	if err != nil || auth == authn.Anonymous {
		return auth, err
	}
	found, err := auth.Authorization()
	if err != nil {
		return nil, err
	}
	if found.Password != "" {
		h.hide(found.Password, base64.StdEncoding.EncodeToString([]byte(found.Username+":"+found.Password)))
	}
	h.hide(found.Auth, found.IdentityToken, found.RegistryToken)
	return auth, nil
}

type environment struct {
	getenv func(string) string
}

// Resolve is authn.Keychain's.
func (e environment) Resolve(resource authn.Resource) (authn.Authenticator, error) {
	suffix := variable(resource.RegistryStr())
	password := e.getenv("REGISTRY_PASSWORD_" + suffix)
	if password == "" {
		return authn.Anonymous, nil
	}
	return &authn.Basic{Username: e.getenv("REGISTRY_USERNAME_" + suffix), Password: password}, nil
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
	return hiding{one{registry, &authn.Basic{Username: username, Password: password}}, hide}
}

type one struct {
	registry string
	auth     authn.Authenticator
}

// Resolve is authn.Keychain's.
func (o one) Resolve(resource authn.Resource) (authn.Authenticator, error) {
	if resource.RegistryStr() != o.registry {
		return authn.Anonymous, nil
	}
	return o.auth, nil
}
