// Package browsertest starts the pipeline's browser for tests that open web pages.
package browsertest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/base"
	"github.com/linuxserver/docker-netbox/pipeline/base/basetest"
)

// Start starts the Chromium of the repository at source in a container without a
// network, and returns the address of its debugging port. The test must run as root.
func Start(t testing.TB, source string) (address string) {
	t.Helper()
	builder := basetest.Builder(t, source)
	img, err := builder.Browser(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eng := basetest.Engine(t, source)
	t.Cleanup(func() {
		if err := eng.Close(); err != nil {
			t.Error(err)
		}
	})
	pod, err := eng.NewPod(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	chromium := base.Chromium()
	chromium.Image = img
	container, err := pod.Start(t.Context(), chromium)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, l := range container.Lines() {
				t.Logf("browser %7.3f %s", l.At.Seconds(), l.Text)
			}
		}
	})
	limit, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := container.WaitReady(limit); err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		// Chromium gets the proxy's address as the host and uses it in its responses.
		Rewrite:   func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "browser:9222" },
		Transport: &http.Transport{DialContext: pod.DialContext},
	})
	t.Cleanup(proxy.Close)
	return proxy.Listener.Addr().String()
}
