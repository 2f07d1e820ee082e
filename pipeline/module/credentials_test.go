package module

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

func TestAPasswordIsNotSentToTwoRegistries(t *testing.T) {
	var targets []registry.Target
	for _, name := range []string{"ghcr.io/linuxserver/netbox", "ghcr.io/linuxserver/other:1", "quay.io/linuxserver.io/netbox"} {
		target, err := registry.ParseTarget(name)
		if err != nil {
			t.Fatal(err)
		}
		targets = append(targets, target)
	}
	none := func(...string) {}
	if _, err := (Credentials{Username: "me", Password: "secret-1"}).keychain(targets[:2], none); err != nil {
		t.Errorf("two repositories of one registry: %v", err)
	}
	if _, err := (Credentials{Username: "me", Password: "secret-1"}).keychain(targets, none); failure.ExitCode(err) != failure.ExitUsage {
		t.Errorf("two registries: %v, want a usage error", err)
	}
	if _, err := (Credentials{Config: "{}"}).keychain(targets, none); err != nil {
		t.Errorf("docker's configuration for two registries: %v", err)
	}
}

func TestAnInvalidKeyIsRefusedBeforeAnythingStarts(t *testing.T) {
	_, err := Call{}.Publish(t.Context(), []string{"ghcr.io/linuxserver/netbox"}, nil, nil, Credentials{}, Signing{Key: "secret-7731", Password: "secret-7732"})
	if failure.ExitCode(err) != failure.ExitUsage || !strings.Contains(err.Error(), "the key to sign with") || strings.Contains(err.Error(), "secret-") {
		t.Errorf("%v", err)
	}
}

func TestTheErrorOfAWrongPasswordNamesTheModulesFlags(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer server.Close()
	target, err := registry.ParseTarget(server.URL + "/linuxserver/netbox")
	if err != nil {
		t.Fatal(err)
	}
	targets := []registry.Target{target}
	keys, err := Credentials{Username: "me", Password: "secret-1"}.keychain(targets, func(...string) {})
	if err != nil {
		t.Fatal(err)
	}
	_, err = registry.CheckPushAccess(t.Context(), targets, registry.Options{Keychain: keys})
	err = Call{Repo: t.TempDir()}.rewriteError(err)
	if err == nil || !strings.Contains(err.Error(), "401 Unauthorized") || !strings.HasSuffix(err.Error(), "(--username and --password, or --config)") {
		t.Errorf("got %v", err)
	}
}
