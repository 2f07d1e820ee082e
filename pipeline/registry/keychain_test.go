package registry_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

// credentials returns a keychain's credentials for a repository.
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

func TestDockerConfigHasCredentialsForEachRegistry(t *testing.T) {
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

func TestAPasswordIsUsedForItsOwnRegistryOnly(t *testing.T) {
	keys := registry.Password("ghcr.io", "me", "secret-1", func(...string) {})
	if got := credentials(t, keys, "ghcr.io/linuxserver/netbox"); got.Password != "secret-1" || got.Username != "me" {
		t.Errorf("ghcr.io: %+v", got)
	}
	if got := credentials(t, keys, "quay.io/linuxserver.io/netbox"); got != (authn.AuthConfig{}) {
		t.Errorf("quay.io: %+v", got)
	}
}

// withHelper configures a credential helper for one registry in docker's configuration.
func withHelper(t *testing.T, script string) (getenv func(string) string, repo name.Repository) {
	t.Helper()
	bin, config := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(bin, "docker-credential-test"), []byte("#!/bin/sh\n"+script), 0o755))
	must(t, os.WriteFile(filepath.Join(config, "config.json"), []byte(`{"credHelpers": {"registry.example.com": "test"}}`), 0o600))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	repo, err := name.NewRepository("registry.example.com/netbox")
	must(t, err)
	return func(name string) string { return map[string]string{"DOCKER_CONFIG": config}[name] }, repo
}

func TestACredentialHelperIsAskedForItsRegistry(t *testing.T) {
	for script, want := range map[string]authn.AuthConfig{
		`read at; echo '{"Username":"me","Secret":"of '$at'"}'`:                     {Username: "me", Password: "of registry.example.com"},
		`read at; echo '{"Username":"<token>","Secret":"token-4"}'`:                 {IdentityToken: "token-4"},
		`echo "credentials not found in native keychain"; exit 1`:                   {},
		`test "$(cat)" = registry.example.com && echo '{"Username":"u"}' || exit 1`: {Username: "u"},
	} {
		getenv, repo := withHelper(t, script)
		var hidden []string
		auth, err := authn.Resolve(t.Context(), registry.Environment(getenv, func(values ...string) { hidden = append(hidden, values...) }, 0), repo)
		must(t, err)
		got, err := auth.Authorization()
		must(t, err)
		if *got != want || want.Password != "" && !slices.Contains(hidden, want.Password) {
			t.Errorf("%s: %+v, hidden %q", script, *got, hidden)
		}
	}
	getenv, repo := withHelper(t, "echo the store is locked; exit 1")
	_, err := authn.Resolve(t.Context(), registry.Environment(getenv, func(...string) {}, 0), repo)
	wantError(t, err, "docker-credential-test", "the store is locked")
}

func TestPodmansConfigurationIsReadWithoutDockers(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "containers"), 0o755))
	file := filepath.Join(dir, "containers/auth.json")
	must(t, os.WriteFile(file, fmt.Appendf(nil, `{"auths": {"ghcr.io": {"auth": %q}}}`, base64.StdEncoding.EncodeToString([]byte("me:secret-5"))), 0o600))
	for name, value := range map[string]string{"XDG_RUNTIME_DIR": dir, "XDG_CONFIG_HOME": dir, "REGISTRY_AUTH_FILE": file} {
		keys := registry.Environment(func(asked string) string { return map[string]string{"HOME": t.TempDir(), name: value}[asked] }, func(...string) {}, 0)
		if got := credentials(t, keys, "ghcr.io/linuxserver/netbox"); got.Password != "secret-5" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	t.Chdir(dir)
	must(t, os.WriteFile("config.json", fmt.Appendf(nil, `{"auths": {"ghcr.io": {"auth": %q}}}`, base64.StdEncoding.EncodeToString([]byte("me:secret-7"))), 0o600))
	keys := registry.Environment(func(asked string) string {
		return map[string]string{"DOCKER_CONFIG": ".", "REGISTRY_AUTH_FILE": file}[asked]
	}, func(...string) {}, 0)
	if got := credentials(t, keys, "ghcr.io/linuxserver/netbox"); got.Password != "secret-7" {
		t.Errorf("docker's configuration is not read first: %+v", got)
	}
	must(t, os.WriteFile(file, []byte(`{"auths": {"ghcr.io": "secret-6"}}`), 0o600))
	repo, err := name.NewRepository("ghcr.io/linuxserver/netbox")
	must(t, err)
	_, err = authn.Resolve(t.Context(), registry.Environment(func(asked string) string { return map[string]string{"REGISTRY_AUTH_FILE": file}[asked] }, func(...string) {}, 0), repo)
	wantError(t, err, file, "docker login")
	if strings.Contains(err.Error(), "secret-6") {
		t.Error(err)
	}
}

// A helper that waits for a password, or for a daemon that does not run, is killed
// after the limit or on Ctrl-C, with its child processes.
func TestACredentialHelperThatHangsIsKilled(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	getenv, repo := withHelper(t, "trap '' TERM\nsleep 100 & echo $! $$ > "+pids+".new; mv "+pids+".new "+pids+"; wait\n")
	hide := func(...string) {}
	gone := func(when string) {
		t.Helper()
		text, err := os.ReadFile(pids)
		if errors.Is(err, fs.ErrNotExist) && when == "with a limit" {
			return // it was killed before it wrote the file
		}
		must(t, err)
		must(t, os.Remove(pids))
		for _, pid := range strings.Fields(string(text)) {
			n, err := strconv.Atoi(pid)
			must(t, err)
			for began := time.Now(); alive(n); time.Sleep(5 * time.Millisecond) {
				if time.Since(began) > 20*time.Second {
					t.Errorf("%s: process %d is still there", when, n)
					_ = syscall.Kill(n, syscall.SIGKILL)
					break
				}
			}
		}
	}
	_, err := authn.Resolve(t.Context(), registry.Environment(getenv, hide, 2*time.Second), repo)
	wantError(t, err, "has not answered for 2s", "REGISTRY_PASSWORD_REGISTRY_EXAMPLE_COM")
	gone("with a limit")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(5 * time.Millisecond) {
			if _, err := os.Stat(pids); err == nil {
				break
			}
		}
		cancel()
	}()
	if _, err := authn.Resolve(ctx, registry.Environment(getenv, hide, time.Hour), repo); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	gone("interrupted")
}

// alive reports whether a process runs and is not a zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}
