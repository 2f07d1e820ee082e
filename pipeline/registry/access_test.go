package registry_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

func TestAWrongPasswordIsReportedBeforeAnythingIsSent(t *testing.T) {
	locked, open := newFaulty(t), newFaulty(t)
	locked.setFault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if _, password, _ := r.BasicAuth(); password != "sesame" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
	targets := []registry.Target{open.target(t, "netbox:1"), open.target(t, "netbox:2"), locked.target(t, "a"), locked.target(t, "b")}
	with := func(password string) registry.Options {
		return registry.Options{Keychain: keychain{authn.FromConfig(authn.AuthConfig{Username: "robot", Password: password})}}
	}

	_, err := registry.CheckPushAccess(t.Context(), targets, with("simsalabim"))
	wantError(t, err, "/a may be pushed to", "401 Unauthorized", "docker login")
	if strings.Contains(err.Error(), "simsalabim") {
		t.Errorf("the password is shown: %v", err)
	}
	if asked := locked.takeRequests("POST"); len(asked) != 1 {
		t.Errorf("the registry that may lock the account was asked %q", asked)
	}
	asked := open.takeRequests("POST", "PUT", "PATCH", "DELETE")
	if len(asked) != 2 || !strings.HasPrefix(asked[0], "POST /v2/netbox/blobs/uploads/") || !strings.HasPrefix(asked[1], "DELETE /v2/netbox/blobs/uploads/") {
		t.Errorf("the other registry was asked %q", asked)
	}

	optional := with("simsalabim")
	optional.Optional = []string{locked.host}
	refused, err := registry.CheckPushAccess(t.Context(), targets, optional)
	must(t, err)
	if len(refused) != 1 {
		t.Errorf("the optional registry refused %v", refused)
	}

	refused, err = registry.CheckPushAccess(t.Context(), targets, with("sesame"))
	must(t, err)
	if len(refused) > 0 {
		t.Errorf("refused %v", refused)
	}
}

// The place of an upload may be on another host. The password is not for that one.
func TestTheAccessCheckSendsNoPasswordToAnotherHost(t *testing.T) {
	other, reg := newFaulty(t), newFaulty(t)
	sent := make(chan string, 1)
	other.setFault(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		sent <- r.Method + r.Header.Get("Authorization")
	})
	reg.setFault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if _, password, _ := r.BasicAuth(); password != "sesame" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Location", "http://"+other.host+"/upload/1")
		w.WriteHeader(http.StatusAccepted)
	})
	_, err := registry.CheckPushAccess(t.Context(), []registry.Target{reg.target(t, "netbox")}, registry.Options{
		Keychain: keychain{authn.FromConfig(authn.AuthConfig{Username: "robot", Password: "sesame"})}})
	must(t, err)
	if got := <-sent; got != http.MethodDelete {
		t.Errorf("the other host got %q", got)
	}
}

func TestTheAccessCheckIgnoresTemporaryFailures(t *testing.T) {
	reg := newFaulty(t)
	reg.setFault(refuse(http.StatusServiceUnavailable, http.MethodPost, "/uploads/"))
	_, err := registry.CheckPushAccess(t.Context(), []registry.Target{reg.target(t, "netbox")}, registry.Options{})
	must(t, err)
	reg.setFault(refuse(http.StatusForbidden, http.MethodPost, "/uploads/"))
	_, err = registry.CheckPushAccess(t.Context(), []registry.Target{reg.target(t, "netbox")}, registry.Options{})
	wantError(t, err, "403 Forbidden")
}
