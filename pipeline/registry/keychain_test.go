package registry_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

// credentials asks a keychain about a repository.
func credentials(t *testing.T, keys authn.Keychain, repository string) authn.AuthConfig {
	t.Helper()
	repo, err := name.NewRepository(repository)
	must(t, err)
	auth, err := keys.Resolve(repo)
	must(t, err)
	got, err := auth.Authorization()
	must(t, err)
	return *got
}

func TestDockersConfigurationGivesEachRegistryItsOwnCredentials(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	bin := t.TempDir()
	must(t, os.WriteFile(filepath.Join(bin, "docker-credential-spy"), []byte("#!/bin/sh\ntouch "+ran+"\n"), 0o755))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	var hidden []string
	keys, err := registry.DockerConfig(fmt.Sprintf(`{"auths": {
		"ghcr.io": {"auth": %q}, "https://index.docker.io/v1/": {"auth": %q}, "quay.io": {"identitytoken": "token-3"}
	}, "credsStore": "spy", "credHelpers": {"ghcr.io": "spy"}}`,
		base64.StdEncoding.EncodeToString([]byte("me:secret-1")), base64.StdEncoding.EncodeToString([]byte("hub:secret-2"))),
		func(values ...string) { hidden = append(hidden, values...) })
	must(t, err)
	for repository, want := range map[string]string{
		"ghcr.io/linuxserver/netbox":      "me:secret-1",
		"docker.io/linuxserver/netbox":    "hub:secret-2",
		"quay.io/linuxserver.io/netbox":   ":",
		"registry.example.com/some/image": ":",
	} {
		if got := credentials(t, keys, repository); got.Username+":"+got.Password != want {
			t.Errorf("%s: %+v, want %s", repository, got, want)
		}
	}
	if got := credentials(t, keys, "quay.io/linuxserver.io/netbox").IdentityToken; got != "token-3" {
		t.Errorf("identity token %q", got)
	}
	for _, secret := range []string{"secret-1", "secret-2", "token-3"} {
		if !slices.Contains(hidden, secret) {
			t.Errorf("%s is not hidden: %q", secret, hidden)
		}
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("a helper was run")
	}
}

func TestACredentialThatCannotBeReadIsNotQuoted(t *testing.T) {
	for _, text := range []string{"secret-1", `{"auths": {"ghcr.io": "secret-1"}}`, `{"auths": {"ghcr.io": {"auth": "secret-1"}}}`} {
		_, err := registry.DockerConfig(text, func(...string) {})
		wantError(t, err, "read the credentials", "config.json")
		if strings.Contains(err.Error(), "secret-1") || failure.ExitCode(err) != failure.ExitUsage {
			t.Errorf("%v, exit status %d", err, failure.ExitCode(err))
		}
	}
}

func TestAPasswordIsToldToItsOwnRegistryOnly(t *testing.T) {
	keys := registry.Password("ghcr.io", "me", "secret-1", func(...string) {})
	if got := credentials(t, keys, "ghcr.io/linuxserver/netbox"); got.Password != "secret-1" || got.Username != "me" {
		t.Errorf("ghcr.io: %+v", got)
	}
	if got := credentials(t, keys, "quay.io/linuxserver.io/netbox"); got != (authn.AuthConfig{}) {
		t.Errorf("quay.io: %+v", got)
	}
}

// A helper that asks for a password nobody types, or whose daemon is gone.
func TestACredentialHelperThatHangsIsGivenALimit(t *testing.T) {
	bin, config := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(bin, "docker-credential-hangs"), []byte("#!/bin/sh\nexec sleep 2\n"), 0o755))
	must(t, os.WriteFile(filepath.Join(config, "config.json"), []byte(`{"credHelpers": {"registry.example.com": "hangs"}}`), 0o600))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("HOME", t.TempDir())
	t.Setenv("DOCKER_CONFIG", config)
	repo, err := name.NewRepository("registry.example.com/netbox")
	must(t, err)
	none := func(string) string { return "" }
	hide := func(...string) {}
	_, err = authn.Resolve(t.Context(), registry.Environment(none, hide, 10*time.Millisecond), repo)
	if err == nil || !strings.Contains(err.Error(), "has not answered for 10ms") || !strings.Contains(err.Error(), "REGISTRY_PASSWORD_REGISTRY_EXAMPLE_COM") {
		t.Errorf("with a limit: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := authn.Resolve(ctx, registry.Environment(none, hide, time.Hour), repo); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
