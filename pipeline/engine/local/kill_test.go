package local_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/enginetest"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
)

// helperCache, when set, makes this test program the process that is killed.
const helperCache = "LOCAL_ENGINE_TEST_HELPER"

func TestMain(m *testing.M) {
	if cache := os.Getenv(helperCache); cache != "" {
		helper(cache)
		return
	}
	if platforms := os.Getenv(settleAlone); platforms != "" {
		os.Exit(settledAlone(platforms))
	}
	if os.Geteuid() == 0 {
		if err := settle(native, foreign); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(m.Run())
}

// helper runs a pod and a build that run until they are killed.
func helper(cache string) {
	die := func(err error) {
		if err != nil {
			fmt.Println("helper:", err)
			os.Exit(1)
		}
	}
	e, err := local.New(options(cache, time.Minute))
	die(err)
	dir := os.Getenv("HELPER_DIR")
	base, err := layout.ImageIndexFromPath(filepath.Join(dir, "base"))
	die(err)
	img, err := engine.ImageFor(base, native)
	die(err)
	p, err := e.NewPod(context.Background())
	die(err)
	_, err = p.Start(context.Background(), script(img, "main", "spawn hold; hold"))
	die(err)
	fmt.Println("id", local.ID(e))
	_, err = e.Build(context.Background(), engine.BuildRequest{Platform: native, Context: dir, Dockerfile: "Dockerfile", Base: engine.Base{Index: base}, Log: os.Stdout})
	die(err)
}

func TestKillingTheProcessEndsAllItStarted(t *testing.T) {
	cache := testCache(t)
	marker := fmt.Sprintf("313m%ds", os.Getpid())
	dir := t.TempDir()
	dockerfile := "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN print building; sleep " + marker + "\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := layout.Write(filepath.Join(dir, "base"), enginetest.Base(t, native)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperCache+"="+cache, "HELPER_DIR="+dir, "PIP_INDEX_URL=https://user:"+marker+"@index.example/simple")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	id := ""
	var said []string
	for s := bufio.NewScanner(out); s.Scan(); {
		said = append(said, s.Text())
		if after, ok := strings.CutPrefix(s.Text(), "id "); ok {
			id = after
		}
		if strings.HasSuffix(s.Text(), " building") {
			break
		}
	}
	secrets := func() []string {
		return globAll(filepath.Join(cache, "local", "run", "*", "*", "pip.conf"))
	}
	if id == "" || noProcess(marker) == nil || len(leftovers(id)) == 0 || len(secrets()) == 0 {
		t.Fatalf("the helper runs no pod and build: %q", said)
	}
	next, base := newEngine(t, cache), engine.Base{Index: enginetest.Base(t, native)}
	newPod(t, next) // creates its directories and removes stale ones
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	var log bytes.Buffer
	if _, err := build(t.Context(), t, next, native, base, "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN print at once\n", &log); err != nil {
		t.Errorf("a build at once: %v\n%s", err, log.String())
	}
	eventually(t, time.Minute, func() error {
		if left := leftovers(id); len(left) > 0 {
			return fmt.Errorf("%s", strings.Join(left, "\n"))
		}
		return errors.Join(noProcess(marker), noProcess(dir))
	})
	// Empty directories remain in the cache; the next start removes them.
	e := newEngine(t, cache)
	newPod(t, e)
	if left := globAll(filepath.Join(cache, "local", "run", id+"*")); len(left) > 0 {
		t.Errorf("after the next start still there:\n%s", strings.Join(left, "\n"))
	}
	if _, err := build(t.Context(), t, e, native, engine.Base{Index: enginetest.Base(t, native)}, "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN print after the kill\n", &log); err != nil {
		t.Errorf("the next build: %v\n%s", err, log.String())
	}
	if left := secrets(); len(left) > 0 {
		t.Errorf("after the next build there are still secrets: %v", left)
	}
}
