package registry

import (
	"encoding/base64"
	"strings"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
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

// DockerConfig finds credentials in the text of docker's config.json, and
// nowhere else: helpers that it names are not run. hide is told every secret
// that is used.
func DockerConfig(text string, hide func(...string)) (authn.Keychain, error) {
	file, err := config.LoadFromReader(strings.NewReader(text))
	if err != nil {
		// The error may quote what it stumbled over.
		return nil, failure.Usagef("read the credentials: they are not as docker's config.json, {\"auths\": {\"ghcr.io\": {\"auth\": \"…\"}}}")
	}
	file.CredentialsStore, file.CredentialHelpers = "", nil
	return hiding{dockerConfig{file}, hide}, nil
}

type dockerConfig struct{ file *configfile.ConfigFile }

// Resolve is authn.Keychain's.
func (d dockerConfig) Resolve(resource authn.Resource) (authn.Authenticator, error) {
	for _, key := range []string{resource.String(), resource.RegistryStr()} {
		if key == name.DefaultRegistry {
			key = authn.DefaultAuthKey
		}
		found, err := d.file.GetAuthConfig(key)
		if err != nil {
			return nil, err
		}
		auth := authn.AuthConfig{
			Username: found.Username, Password: found.Password, Auth: found.Auth,
			IdentityToken: found.IdentityToken, RegistryToken: found.RegistryToken,
		}
		if auth != (authn.AuthConfig{}) {
			return authn.FromConfig(auth), nil
		}
	}
	return authn.Anonymous, nil
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
