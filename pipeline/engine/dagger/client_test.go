package dagger_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/engine/dagger"
)

// The dagger command does not exit, and ignores SIGTERM, if its engine is gone. This
// one answers all requests, and does not exit either.
func TestASessionEndsWhenItsEngineIsGone(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		answer := `{"data":{"version":"v0.21.8"}}`
		if strings.Contains(string(query), "defaultPlatform") {
			answer = `{"data":{"defaultPlatform":"linux/amd64"}}`
		}
		io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	command := filepath.Join(dir, "dagger")
	script := fmt.Sprintf("#!/bin/sh\ntrap '' TERM\necho $$ >%s/pid\necho '{\"port\":%s,\"session_token\":\"none\"}'\nexec sleep 600\n", dir, address.Port())
	if err := os.WriteFile(command, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"DAGGER_SESSION_PORT", "DAGGER_SESSION_TOKEN", "_EXPERIMENTAL_DAGGER_RUNNER_HOST"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	t.Setenv("_EXPERIMENTAL_DAGGER_CLI_BIN", command)

	e, err := dagger.New(t.Context(), dagger.Options{Connect: dagger.Dial, Disconnect: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Setup(t.Context(), io.Discard); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- e.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(3 * time.Minute):
		_ = unix.Kill(pid, unix.SIGKILL)
		t.Fatal("it waits for a command that does not end")
	}
	if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("the command is still there: %v", err)
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}
