package registry

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
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
	return hiding{authn.NewMultiKeychain(environment{getenv}, patient{authn.DefaultKeychain, limit}), hide}
}

// patient waits for a keychain, which may run a credential helper, no longer
// than a limit or the context.
type patient struct {
	authn.Keychain
	limit time.Duration
}

// ResolveContext is authn.ContextKeychain's.
func (p patient) ResolveContext(ctx context.Context, resource authn.Resource) (authn.Authenticator, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.limit, fmt.Errorf("the credential helper of docker's configuration has not answered for %s: "+
		"run it by hand, or set REGISTRY_USERNAME_%[2]s and REGISTRY_PASSWORD_%[2]s", p.limit, variable(resource.RegistryStr())))
	defer cancel()
	type found struct {
		auth authn.Authenticator
		err  error
	}
	done := make(chan found, 1)
	go func() { // the library takes no context
		auth, err := p.Keychain.Resolve(resource)
		done <- found{auth, err}
	}()
	select {
	case f := <-done:
		return f.auth, f.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// hiding tells of the secrets that a keychain gives away.
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
