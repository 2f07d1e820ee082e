package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/smoke"
)

// TestMain runs the probe when the test binary is started as the hook of /init.
func TestMain(m *testing.M) {
	if os.Getenv("PROBE_IS_A_HOOK") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// Each exit is reported once, including the first.
func TestEachDeathOfAServiceIsWritten(t *testing.T) {
	dir := t.TempDir()
	tally := filepath.Join(dir, "svc-cron", "supervise", "death_tally")
	if err := os.MkdirAll(filepath.Dir(tally), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	read, write := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		watch(ctx, dir, write)
	}()
	lines := make([]byte, 4096)
	const exit1, killed = "twelve bytes\x01\x00", "twelve bytes\x00\x09"
	for _, test := range []struct {
		tally string
		want  []smoke.Exit
	}{
		{exit1, []smoke.Exit{{Service: "svc-cron", Count: 1, How: "ended with status 1"}}},
		{exit1 + killed, []smoke.Exit{{Service: "svc-cron", Count: 2, How: "was killed by signal 9"}}},
	} {
		if err := os.WriteFile(tally+".new", []byte(test.tally), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tally+".new", tally); err != nil {
			t.Fatal(err)
		}
		n, err := read.Read(lines)
		if err != nil {
			t.Fatal(err)
		}
		if got := smoke.Parse([]string{string(lines[:n])}).Exits; !slices.Equal(got, test.want) {
			t.Errorf("%q: %v, want %v", test.tally, got, test.want)
		}
	}
	stop()
	<-done
}

// The image's own hook runs, and its exit code is returned.
func TestTheHookOfTheImageRuns(t *testing.T) {
	for script, want := range map[string]int{"exit 3": 3, "true": 0} {
		argv := strings.Fields(smoke.Env(os.Args[0], "sh -s")["S6_STAGE2_HOOK"])
		cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
		cmd.Env = append(os.Environ(), "PROBE_IS_A_HOOK=1")
		cmd.Stdin = strings.NewReader(script)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr // files: the watcher process keeps them open
		err := cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != want {
			t.Errorf("%s: status %d, want %d: %v", script, code, want, err)
		}
		all, err := readProcesses("/proc")
		if err != nil {
			t.Fatal(err)
		}
		watchers := 0
		for id, p := range all {
			if slices.Equal(p.command, []string{os.Args[0], watcherArg}) {
				watchers++
				if err := syscall.Kill(id, syscall.SIGTERM); err != nil {
					t.Error(err)
				}
				for range 1000 { // the next round must not find it
					if now, err := readProcesses("/proc"); err != nil || !slices.Equal(now[id].command, p.command) {
						break
					}
					time.Sleep(10 * time.Millisecond)
				}
				if !p.isWatcher(process{command: []string{os.Args[0], "-version", "9"}}) {
					t.Errorf("%v does not count as the probe's", p)
				}
			}
		}
		if watchers != 1 {
			t.Errorf("%s: %d processes watch, want 1", script, watchers)
		}
	}
}
