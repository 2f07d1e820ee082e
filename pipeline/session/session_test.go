package session_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/progress"
	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/secret"
	"github.com/linuxserver/docker-netbox/pipeline/session"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
	"github.com/linuxserver/docker-netbox/tests/testrepo"
)

// repository is a commit with the project's pinned versions.
func repository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	pins, err := os.ReadFile("../../versions.yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, versions.File), pins, 0o644); err != nil {
		t.Fatal(err)
	}
	testrepo.Commit(t, dir)
	return dir
}

// options are those of a run that never gets an engine: asked counts how often
// it wanted one, held is whether it holds its lock.
func options(t *testing.T, asked *[]session.Facts, held *bool) session.Options {
	repo := repository(t)
	return session.Options{
		Repo: repo, Output: t.TempDir(), Platforms: []string{"linux/arm64", "linux/amd64"}, Timeout: time.Minute,
		DefaultBase: func(pins *versions.Versions) string { return pins.Base.Published },
		Lock: func(context.Context) (func(), error) {
			*held = true
			return func() { *held = false }, nil
		},
		Engine: func(_ context.Context, facts session.Facts) (session.Engine, pipeline.Provider, error) {
			*asked = append(*asked, facts)
			if !*held {
				t.Error("the engine is made while others may run")
			}
			return nil, nil, errors.New("no engine here")
		},
		Display: func(context.Context) (*progress.Display, func()) {
			t.Error("progress is shown without an engine")
			return nil, func() {}
		},
		Tool: session.Tools(repo, t.TempDir(), time.Minute),
		Mask: &secret.Mask{},
	}
}

func never(*pipeline.Pipeline) error { panic("there is no engine") }

func TestAnEngineIsMadeForWhatTheRunIsOf(t *testing.T) {
	var asked []session.Facts
	var held bool
	opts := options(t, &asked, &held)
	opts.Release, opts.Base = "4.7.2", "localhost:5000/base:1"
	err := session.Run(t.Context(), opts, never)
	if err == nil || err.Error() != "no engine here" || held {
		t.Errorf("got %v, and the lock is held: %v", err, held)
	}
	if len(asked) != 1 {
		t.Fatalf("asked for %d engines", len(asked))
	}
	f := asked[0]
	if f.Base != opts.Base || f.Versions.NetBox.Release != "4.7.2" || len(f.Platforms) != 2 || f.CPU["arm64"] == "" {
		t.Errorf("made for %+v", f)
	}
	opts.Base = ""
	_ = session.Run(t.Context(), opts, never)
	if got := asked[1].Base; got != f.Versions.Base.Published {
		t.Errorf("without a base it is %s", got)
	}
	opts.Plan = &release.Plan{Version: "1"} // of a published image, not whole
	_ = session.Run(t.Context(), opts, never)
	if len(asked) != 3 {
		t.Error("part of a plan stands in the way")
	}
}

func TestWhatCannotBeDoneIsSaidBeforeAnythingIsLockedOrStarted(t *testing.T) {
	for _, test := range []struct {
		want   string
		change func(*session.Options)
	}{
		{"no image for it", func(o *session.Options) { o.Platforms = []string{"linux/mips"} }},
		{"read the base image's name", func(o *session.Options) { o.Base = "A:B:C" }},
		{"the plan is to skip it", func(o *session.Options) { o.Plan = &release.Plan{Commit: "1234", Skip: "nothing has changed"} }},
	} {
		var asked []session.Facts
		var held bool
		opts := options(t, &asked, &held)
		opts.Lock = func(context.Context) (func(), error) {
			t.Errorf("%s: it waits for other runs first", test.want)
			return func() {}, nil
		}
		test.change(&opts)
		err := session.Run(t.Context(), opts, never)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") || len(asked) > 0 {
			t.Errorf("got %v, want %q", err, test.want)
		}
	}
}
