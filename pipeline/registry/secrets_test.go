package registry_test

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

func TestCredentialsComeFromTheKeychainAndAreNeverPrinted(t *testing.T) {
	reg := newFaulty(t)
	reg.setFault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if user, password, _ := r.BasicAuth(); user != "robot" || password != "sesame" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
	idx, _ := index(t)
	publish := func(password string) (string, error) {
		var log steps
		_, err := registry.Publish(t.Context(), idx, []registry.Target{reg.target(t, "netbox")}, registry.Options{
			Keychain: keychain{authn.FromConfig(authn.AuthConfig{Username: "robot", Password: password})}, Step: log.step})
		return log.String(), err
	}
	log, err := publish("simsalabim")
	wantError(t, err, "401 Unauthorized", "docker login")
	if strings.Contains(log+err.Error(), "simsalabim") {
		t.Errorf("the password was printed: %s %v", log, err)
	}
	_, err = publish("sesame")
	must(t, err)
}

type keychain struct{ authn.Authenticator }

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) { return k.Authenticator, nil }

func TestTokensInURLsAreNeverPrinted(t *testing.T) {
	reg := newFaulty(t)
	reg.setFault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		switch r.Method {
		case http.MethodPost:
			w.Header().Set("Location", "/v2/netbox/blobs/uploads/1?_state=sesame")
			w.WriteHeader(http.StatusAccepted)
		case http.MethodPatch:
			panic(http.ErrAbortHandler)
		default:
			next.ServeHTTP(w, r)
		}
	})
	idx, _ := index(t)
	var log steps
	var w fakeClock
	_, err := registry.Publish(t.Context(), idx, []registry.Target{reg.target(t, "netbox")}, registry.Options{Clock: w.clock(), Step: log.step})
	wantError(t, err, "sending blob", "5 times")
	if !strings.Contains(log.String(), "/blobs/uploads/1\"") || strings.Contains(log.String()+err.Error(), "sesame") {
		t.Errorf("error %v, log\n%s", err, &log)
	}
}

func TestPlainHTTPStaysOnLoopbackUnlessAskedFor(t *testing.T) {
	idx, _ := index(t)
	for target, want := range map[string]bool{
		"10.1.2.3:5000/netbox":             false,
		"registry.example/netbox":          false,
		"http://10.1.2.3:5000/netbox":      true,
		"http://registry.example/netbox:1": true,
		"127.0.0.1:5000/netbox":            true,
		"127.9.9.9:5000/netbox":            true,
		"localhost:5000/netbox":            true,
	} {
		parsed, err := registry.ParseTarget(target)
		must(t, err)
		var plain atomic.Bool
		_, err = registry.Publish(t.Context(), idx, []registry.Target{parsed}, registry.Options{
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.URL.Scheme == "http" {
					plain.Store(true)
				}
				return nil, errors.New("no network in this test")
			}), Clock: new(fakeClock).clock(),
		})
		if err == nil || plain.Load() != want {
			t.Errorf("%s: plain http %t, want %t (%v)", target, plain.Load(), want, err)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
