package registry

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/docker-credential-helpers/client"
	"github.com/docker/docker-credential-helpers/credentials"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/proc"
)

// Environment returns a keychain that reads two variables per registry: for ghcr.io
// REGISTRY_USERNAME_GHCR_IO and REGISTRY_PASSWORD_GHCR_IO. For other registries it
// reads docker's configuration, whose credential helper is killed after limit; zero
// or less means DefaultStall. hide is called with every password and token that is
// used, also in the encoding of the request header.
func Environment(getenv func(string) string, hide func(...string), limit time.Duration) authn.Keychain {
	if limit <= 0 {
		limit = DefaultStall
	}
	var lock sync.Mutex // serializes helpers, which may prompt the user
	return reportingSecrets(func(ctx context.Context, resource authn.Resource) (authn.Authenticator, error) {
		suffix := variableSuffix(resource.RegistryStr())
		if password := getenv("REGISTRY_PASSWORD_" + suffix); password != "" {
			return &authn.Basic{Username: getenv("REGISTRY_USERNAME_" + suffix), Password: password}, nil
		}
		file, err := loadDockerConfig(getenv)
		if file == nil || err != nil {
			return authn.Anonymous, err
		}
		lock.Lock()
		defer lock.Unlock()
		ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the credential helper of docker's configuration has not answered for %s: "+
			"run it by hand, or set REGISTRY_USERNAME_%[2]s and REGISTRY_PASSWORD_%[2]s", limit, suffix))
		defer cancel()
		auth, err := resolve(ctx, file, resource)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return auth, err
	}, hide)
}

// keychain implements authn.Keychain and authn.ContextKeychain.
type keychain func(context.Context, authn.Resource) (authn.Authenticator, error)

// Resolve implements authn.Keychain.
func (k keychain) Resolve(resource authn.Resource) (authn.Authenticator, error) {
	return k(context.Background(), resource)
}

// ResolveContext implements authn.ContextKeychain.
func (k keychain) ResolveContext(ctx context.Context, resource authn.Resource) (authn.Authenticator, error) {
	return k(ctx, resource)
}

// reportingSecrets wraps a keychain and passes the secrets that it returns to hide.
func reportingSecrets(source keychain, hide func(...string)) keychain {
	return func(ctx context.Context, resource authn.Resource) (authn.Authenticator, error) {
		auth, err := source(ctx, resource)
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

// variableSuffix returns the suffix of the names of a registry's variables.
func variableSuffix(registry string) string {
	if registry == name.DefaultRegistry {
		registry = "docker.io" // the common name
	}
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(registry))
}

// Password returns a keychain with the credentials of a single registry.
func Password(registry, username, password string, hide func(...string)) authn.Keychain {
	return reportingSecrets(func(_ context.Context, resource authn.Resource) (authn.Authenticator, error) {
		if resource.RegistryStr() != registry {
			return authn.Anonymous, nil
		}
		return &authn.Basic{Username: username, Password: password}, nil
	}, hide)
}

// DockerConfig returns a keychain of the credentials in text, in the format of
// docker's config.json. It runs no credential helpers. hide is called with every
// secret that is used.
func DockerConfig(text string, hide func(...string)) (authn.Keychain, error) {
	file, err := config.LoadFromReader(strings.NewReader(text))
	if err != nil {
		// The error may quote a secret.
		return nil, failure.Usagef("read the credentials: they are not as docker's config.json, {\"auths\": {\"ghcr.io\": {\"auth\": \"…\"}}}")
	}
	file.CredentialsStore, file.CredentialHelpers = "", nil
	return reportingSecrets(func(ctx context.Context, resource authn.Resource) (authn.Authenticator, error) {
		return resolve(ctx, file, resource)
	}, hide), nil
}

// loadDockerConfig reads docker's configuration on this machine or, if there is none,
// podman's; it returns nil if there is neither. go-containerregistry's keychain reads
// the same files, but cannot stop a helper that hangs.
func loadDockerConfig(getenv func(string) string) (*configfile.ConfigFile, error) {
	const noDir = "/nonexistent" // without HOME, do not read the working directory
	home := cmp.Or(getenv("HOME"), noDir)
	for _, path := range []string{
		filepath.Join(cmp.Or(getenv("DOCKER_CONFIG"), filepath.Join(home, ".docker")), "config.json"),
		getenv("REGISTRY_AUTH_FILE"),
		filepath.Join(cmp.Or(getenv("XDG_RUNTIME_DIR"), noDir), "containers/auth.json"),
		filepath.Join(cmp.Or(getenv("XDG_CONFIG_HOME"), filepath.Join(home, ".config")), "containers/auth.json"),
	} {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the credentials of this machine: %w", err)
		}
		file, err := config.LoadFromReader(bytes.NewReader(text))
		if err != nil { // it may quote a secret
			return nil, failure.Usagef("read the credentials of this machine: %s is not as docker's config.json: log in again with docker login", path)
		}
		return file, nil
	}
	return nil, nil
}

// resolve returns the credentials for a repository or, if there are none, for its
// registry.
func resolve(ctx context.Context, file *configfile.ConfigFile, resource authn.Resource) (authn.Authenticator, error) {
	for _, key := range []string{resource.String(), resource.RegistryStr()} {
		if key == name.DefaultRegistry {
			key = authn.DefaultAuthKey
		}
		auth, err := findCredentials(ctx, file, key)
		if err != nil {
			return nil, err
		}
		if auth != (authn.AuthConfig{}) {
			return authn.FromConfig(auth), nil
		}
	}
	return authn.Anonymous, nil
}

// findCredentials runs the configured helper or, without one, reads the file.
func findCredentials(ctx context.Context, file *configfile.ConfigFile, key string) (authn.AuthConfig, error) {
	helperName, ok := file.CredentialHelpers[key]
	if !ok {
		helperName = file.CredentialsStore
	}
	if helperName == "" {
		auth, err := file.GetAuthConfig(key)
		return authn.AuthConfig{
			Username: auth.Username, Password: auth.Password, Auth: auth.Auth,
			IdentityToken: auth.IdentityToken, RegistryToken: auth.RegistryToken,
		}, err
	}
	found, err := client.Get(func(args ...string) client.Program { return newHelper(ctx, helperName, args) }, key)
	switch {
	case credentials.IsErrCredentialsNotFound(err):
		return authn.AuthConfig{}, nil
	case err != nil:
		return authn.AuthConfig{}, fmt.Errorf("ask the credential helper docker-credential-%s: %w", helperName, err)
	case found.Username == "<token>":
		return authn.AuthConfig{IdentityToken: found.Secret}, nil
	}
	return authn.AuthConfig{Username: found.Username, Password: found.Secret}, nil
}

// helper runs a credential helper. The helper and its child processes are killed when
// the context is done.
type helper struct{ *exec.Cmd }

func newHelper(ctx context.Context, named string, args []string) helper {
	cmd := exec.CommandContext(ctx, "docker-credential-"+named, args...)
	proc.Group(cmd)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Stderr = os.Stderr // prompts
	return helper{cmd}
}

// Input implements client.Program.
func (h helper) Input(in io.Reader) { h.Stdin = in }
