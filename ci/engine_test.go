package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/filelock"
)

func TestTheEngineIsDaggerWhereItIsPresent(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "dagger"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		environ      map[string]string
		flags        flags
		engine, base string
		why          string
	}{
		"nothing of Dagger":      {nil, flags{}, "local", "local", "there is no Dagger session"},
		"a session":              {map[string]string{"DAGGER_SESSION_PORT": "1234"}, flags{}, "dagger", "", "DAGGER_SESSION_PORT"},
		"a runner host":          {map[string]string{"_EXPERIMENTAL_DAGGER_RUNNER_HOST": "tcp://engine:1"}, flags{}, "dagger", "", "RUNNER_HOST"},
		"the command":            {map[string]string{"PATH": "/nowhere:" + bin}, flags{}, "dagger", "", bin},
		"local all the same":     {map[string]string{"PATH": bin}, flags{engine: "local"}, "local", "local", "--engine"},
		"dagger all the same":    {nil, flags{engine: "dagger"}, "dagger", "", "--engine"},
		"dagger on a base":       {nil, flags{engine: "dagger", base: "local"}, "dagger", "local", "--engine"},
		"the embedded on a base": {nil, flags{base: "oci:/srv/base"}, "local", "oci:/srv/base", "there is no Dagger session"},
	} {
		t.Run(name, func(t *testing.T) {
			e := env{getenv: func(name string) string { return test.environ[name] }, flags: &test.flags}
			engine, why, err := e.chooseEngine()
			if err != nil || engine != test.engine || !strings.Contains(why, test.why) {
				t.Errorf("chose %s because %q (%v), want %s because of %q", engine, why, err, test.engine, test.why)
			}
			if base := e.base(engine); base != test.base {
				t.Errorf("builds on %q, want %q", base, test.base)
			}
		})
	}
}

func TestAnUnknownEngineIsWrongUse(t *testing.T) {
	_, stderr, code := invoke(t, t.Context(), "build", "--repo", "..", "--output", t.TempDir(), "--engine", "docker")
	if code != failure.ExitUsage || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, `"docker"`) || !strings.Contains(stderr, "pass local or dagger") {
		t.Errorf("status %d: %s", code, stderr)
	}
}

// Invalid flags fail at once, without waiting for another run.
func TestInvalidBuildsAreRefusedBeforeAnythingIsLockedOrStarted(t *testing.T) {
	output := t.TempDir()
	unlock, err := filelock.Lock(t.Context(), filepath.Join(output, ".lock"), filelock.Exclusive, "the output directory", time.Second, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	_, stderr, code := invoke(t, t.Context(), "build", "--repo", "..", "--output", output, "--platform", "linux/mips", "--wait", "0s")
	if code != failure.ExitUsage || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "no image for it") || strings.Contains(stderr, "another process") {
		t.Errorf("status %d: %s", code, stderr)
	}
}
