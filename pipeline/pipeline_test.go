package pipeline

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/filelock"
	"github.com/linuxserver/docker-netbox/pipeline/git"
	"github.com/linuxserver/docker-netbox/pipeline/progress"
	"github.com/linuxserver/docker-netbox/pipeline/report"
)

func TestASharedFailureIsReportedOnce(t *testing.T) {
	shared := errors.New("no base image")
	err := join(errors.Join(shared, errors.New("amd64")), nil, errors.Join(shared, errors.New("arm64")))
	if got := failure.Lines(err); !slices.Equal(got, []string{"no base image", "amd64", "arm64"}) {
		t.Errorf("got %q", got)
	}
	if join(nil, nil) != nil {
		t.Error("nothing joined is an error")
	}
	if err := join(failure.Usagef("wrong"), errors.New("broken")); failure.ExitCode(err) != failure.ExitUsage {
		t.Errorf("exit code %d", failure.ExitCode(err))
	}
}

func TestWaitingForAnotherProcessIsNotCounted(t *testing.T) {
	clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := func() time.Time { return clock }
	display := progress.New(io.Discard, progress.Options{Now: now})
	defer display.Close()
	s := stages{display, now, report.NewBuilder(report.Report{}, now)}
	began := clock
	err := s.stage(t.Context(), report.Key{Stage: "build"}, func(_ context.Context, log io.Writer) error {
		clock = clock.Add(12 * time.Second)
		log.(filelock.Waiter).Waited(10 * time.Second)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := s.report.Report().Stages[0]; s.Seconds != 2 || !s.Started.Equal(began.Add(10*time.Second)) {
		t.Errorf("the stage took %g s from %s, want 2 s from the end of the wait", s.Seconds, s.Started)
	}
}

func TestWhatWasSkippedNamesWhatFailed(t *testing.T) {
	const amd, arm = "linux/amd64", "linux/arm64"
	r := report.Report{Expected: []report.Key{
		{Stage: "base"}, {Stage: "build", Platform: amd}, {Stage: "boot", Platform: amd}, {Stage: "build", Platform: arm}, {Stage: "boot", Platform: arm}, {Stage: "publish"},
	}}
	s := stages{now: time.Now, report: report.NewBuilder(r, time.Now)}
	for _, stage := range s.Report().Outcomes() {
		if stage.Verdict() != report.Missing {
			t.Errorf("%s, which nothing kept from running: %s", stage.Key, stage.Verdict())
		}
	}
	s.report.End(report.Key{Stage: "base"}, time.Now(), 0, nil, "")
	s.report.End(report.Key{Stage: "readme"}, time.Now(), 0, errors.New("it is out of date"), "") // keeps no image from being booted
	s.report.End(report.Key{Stage: "build", Platform: arm}, time.Now(), 0, errors.New("broken"), "")
	s.report.End(report.Key{Stage: "build", Platform: amd}, time.Now(), 0, nil, "")
	want := map[report.Key]string{
		{Stage: "boot", Platform: amd}: "it was never run",
		{Stage: "boot", Platform: arm}: "build linux/arm64 failed",
		{Stage: "publish"}:             "readme, build linux/arm64 failed",
	}
	for _, stage := range s.Report().Outcomes() {
		if why := want[stage.Key]; why != "" && stage.Why() != why {
			t.Errorf("%s: %q, want %q", stage.Key, stage.Why(), why)
		}
	}
}

func TestARestartedProcessIsAnError(t *testing.T) {
	if err := restarted([]string{"[netbox] serving http on port 8000 at /", "a page about: starting it again in 1 s"}); err != nil {
		t.Errorf("good log: %v", err)
	}
	if err := restarted([]string{"[netbox] worker was killed by SIGKILL: starting it again in 1 s"}); err == nil || !strings.Contains(err.Error(), "worker was killed") {
		t.Errorf("got %v", err)
	}
}

func TestOnlyImagesThatPassedEveryCheckArePublished(t *testing.T) {
	const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	proven := func(stages ...string) report.Report {
		r := report.Report{Platforms: []report.Platform{{Platform: "linux/amd64", Image: digest}}}
		for _, s := range stages {
			r.Stages = append(r.Stages, report.Stage{Key: report.Key{Stage: s, Platform: "linux/amd64"}})
		}
		return r
	}
	all := []string{"graph", "boot", "smoke", "stop"}
	booted, err := bootedDigests(proven(all...))
	if err != nil || booted["linux/amd64"].String() != digest {
		t.Errorf("good: %v, %v", booted, err)
	}
	for i, missing := range all {
		stages := slices.Delete(slices.Clone(all), i, i+1)
		if _, err := bootedDigests(proven(stages...)); err == nil || !strings.Contains(err.Error(), "linux/amd64") {
			t.Errorf("without %s: %v", missing, err)
		}
		r := proven(all...)
		r.Stages[i].Errors = []string{"broken"}
		if _, err := bootedDigests(r); err == nil {
			t.Errorf("with %s failed: published", missing)
		}
	}
}

func TestAnIndexSaysWhenItsCommitWasMadeInUTC(t *testing.T) {
	commit := git.Checkout{Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("", 3600))}
	index := annotations("v4.7.3-ls1", commit, "ghcr.io/linuxserver/baseimage-alpine:3.20@sha256:00")
	for name, want := range map[string]string{"created": "2026-03-01T11:00:00Z", "base.name": "ghcr.io/linuxserver/baseimage-alpine:3.20", "base.digest": "sha256:00"} {
		if got := index["org.opencontainers.image."+name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}
