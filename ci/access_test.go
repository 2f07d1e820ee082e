package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

func TestCheckRefusesAWrongPasswordBeforeItBuilds(t *testing.T) {
	locked := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer locked.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	host := strings.TrimPrefix(locked.URL, "http://")
	_, stderr, code := invoke(t, ctx, "check", "--repo", "..", "--output", t.TempDir(), "--to", host+"/netbox")
	if code != failure.ExitCheck || !strings.Contains(stderr, "ask whether "+host+"/netbox may be pushed to: the registry answered 401") {
		t.Errorf("status %d:\n%s", code, stderr)
	}
	if strings.Contains(stderr, "prerequisites") && strings.Contains(stderr, "build linux") {
		t.Errorf("it built first:\n%s", stderr)
	}
}
