package registry

import (
	"encoding/base64"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// Environment finds credentials in variables, two a registry: for ghcr.io
// REGISTRY_USERNAME_GHCR_IO and REGISTRY_PASSWORD_GHCR_IO. A registry without
// them gets docker's configuration. hide is told every password and token that
// is used, also in the form that requests carry it in.
func Environment(getenv func(string) string, hide func(...string)) authn.Keychain {
	return hiding{authn.NewMultiKeychain(environment{getenv}, authn.DefaultKeychain), hide}
}

// hiding tells of the secrets that a keychain gives away.
type hiding struct {
	authn.Keychain
	hide func(...string)
}

// Resolve is authn.Keychain's.
func (h hiding) Resolve(resource authn.Resource) (authn.Authenticator, error) {
	auth, err := h.Keychain.Resolve(resource)
	if err != nil || auth == authn.Anonymous {
		return auth, err
	}
	config, err := auth.Authorization()
	if err != nil {
		return nil, err
	}
	if config.Password != "" {
		h.hide(config.Password, base64.StdEncoding.EncodeToString([]byte(config.Username+":"+config.Password)))
	}
	h.hide(config.Auth, config.IdentityToken, config.RegistryToken)
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
