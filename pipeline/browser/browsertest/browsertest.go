// Package browsertest starts the pipeline's browser for tests that open pages of
// their own.
package browsertest

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/base"
	"github.com/linuxserver/docker-netbox/pipeline/base/basetest"
	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
)

// Start starts Chromium in a container without a network, of the repository at
// source, and returns the address it is debugged at. The test must be root's.
func Start(t testing.TB, source string) (address string) {
	t.Helper()
	builder := basetest.Builder(t, source)
	img, err := builder.Browser(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	eng, err := local.New(local.Options{
		Cache:    filepath.Join(cache, "docker-netbox", "engine"),
		Tools:    filepath.Join(source, "tools"),
		LockWait: time.Hour,
		Environ:  os.Environ(),
	})
	if err != nil {
		t.Fatal(err)
	}
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
	container, err := pod.Start(t.Context(), engine.Container{Name: "browser", Image: img, Entrypoint: chromium.Entrypoint, Ready: chromium.Ready})
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
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				inside, err := pod.DialContext(t.Context(), "tcp", "browser:9222")
				if err != nil {
					return
				}
				defer inside.Close()
				go func() { _, _ = io.Copy(inside, conn) }()
				_, _ = io.Copy(conn, inside)
			}()
		}
	}()
	return listener.Addr().String()
}
