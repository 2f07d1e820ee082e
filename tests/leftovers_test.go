package tests

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// marker is an environment variable that identifies the processes of a run: they
// all inherit it.
const marker = "DOCKER_NETBOX_TEST_RUN"

// nothingIsLeft checks that no process, mount, cgroup or partial file of a run
// remains. Killed processes get a minute to exit.
func (o outcome) nothingIsLeft(t *testing.T) {
	t.Helper()
	var left []string
	for range 600 {
		if left = o.leftovers(t); len(left) == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("left behind: %s", strings.Join(left, ", "))
}

func (o outcome) leftovers(t *testing.T) []string {
	t.Helper()
	var left []string
	for _, p := range glob(t, "/proc/[0-9]*") {
		environ, err := os.ReadFile(filepath.Join(p, "environ"))
		if err == nil && bytes.Contains(environ, []byte(marker+"="+o.run+"\x00")) {
			cmdline, _ := os.ReadFile(filepath.Join(p, "cmdline"))
			left = append(left, fmt.Sprintf("process %s (%s)", filepath.Base(p), bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '})))
		}
	}
	// All mounts are in other mount namespaces: none may be visible in this one.
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, filepath.Join(cache, "docker-netbox")) {
			left = append(left, "mount "+strings.TrimSpace(line))
		}
	}
	for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		for _, g := range glob(t, fmt.Sprintf("%s/docker-netbox/%d-*", pattern, o.pid)) {
			left = append(left, "cgroup "+g)
		}
	}
	for _, pattern := range []string{".*.partial-*", "*/.*.partial-*"} {
		for _, file := range glob(t, filepath.Join(o.dist, pattern)) {
			left = append(left, "file "+file)
		}
	}
	return left
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}
