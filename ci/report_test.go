package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/report"
)

// The report says how to fix a full disk, whichever program hit it first.
func TestAReportNamesAFullDisk(t *testing.T) {
	b := report.NewBuilder(report.Report{Expected: []report.Key{{Stage: "build"}}}, time.Now)
	said := errors.New("RUN x: exit code: 25")
	b.End(report.Key{Stage: "build"}, time.Now(), time.Second, said, "")
	var full error
	s := &session{diskFull: func(error) error { return full }}
	if r, err := s.explain(b.Report(), said); err != said || s.explained || len(r.Stages[0].Errors) != 1 {
		t.Errorf("with room on the disk: %v, %v", err, r.Stages)
	}
	full = failure.Usagef("the disk was full: make room")
	r, err := s.explain(b.Report(), said)
	if f := r.Failure(); f.Why() != "build: the disk was full: make room" || !strings.HasPrefix(f.Next, "Make room") {
		t.Errorf("%q, %q", f.Why(), f.Next)
	}
	if failure.ExitCode(err) != failure.ExitUsage || !errors.Is(err, said) || !s.explained {
		t.Errorf("status %d, %v", failure.ExitCode(err), err)
	}
}

func TestAReportIsServedOnLoopbackAndOpenedUntilItIsInterrupted(t *testing.T) {
	output, bin := t.TempDir(), t.TempDir()
	b := report.NewBuilder(report.Report{Project: "docker-netbox", Version: "4.7.3", Expected: []report.Key{{Stage: "build"}}}, time.Now)
	b.End(report.Key{Stage: "build"}, time.Now(), time.Second, errors.New("the lead is missing"), "")
	if err := b.Report().Write(filepath.Join(output, "report"), func(s string) string { return s }); err != nil {
		t.Fatal(err)
	}
	opened := filepath.Join(bin, "opened")
	if err := os.WriteFile(filepath.Join(bin, "xdg-open"), []byte("#!/bin/sh\nprintf %s \"$1\" >"+opened+".new && mv "+opened+".new "+opened+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	getenv := func(name string) string {
		if name == "PATH" {
			return bin
		}
		return ""
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, in := io.Pipe()
	var errs strings.Builder
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"report", "--open", "--output", output}, streams{out: in, err: &errs}, getenv)
		in.Close()
	}()
	line := make([]byte, 200)
	n, err := out.Read(line)
	if err != nil {
		t.Fatalf("no address: %v: %s", err, &errs)
	}
	go io.Copy(io.Discard, out)
	url := strings.TrimSpace(string(line[:n]))
	if !strings.HasPrefix(url, "http://127.0.0.1:") {
		t.Fatalf("address %q", url)
	}
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	page, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode != 200 || !strings.Contains(string(page), "the lead is missing") {
		t.Errorf("status %d:\n%s", res.StatusCode, page)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if got, err := os.ReadFile(opened); err == nil {
			if string(got) != url {
				t.Errorf("opened %q, want %q", got, url)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the browser was not opened")
		}
	}
	select {
	case code := <-ended:
		t.Fatalf("it ended by itself with status %d: %s", code, &errs)
	default:
	}
	cancel()
	select {
	case code := <-ended:
		if code != 0 {
			t.Errorf("status %d: %s", code, &errs)
		}
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
	}
	if _, err := http.Get(url); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("it still listens: %v", err)
	}
}
