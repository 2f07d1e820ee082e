package tests

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/filelock"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/tests/campaign"
)

// TestInterruptLeavesNothing interrupts check at some moments and kills it at
// others.
func TestInterruptLeavesNothing(t *testing.T) {
	tries, longest := 2, 20*time.Second
	if *soak {
		tries = 20
	}
	signals := []syscall.Signal{syscall.SIGINT, syscall.SIGKILL}
	moments := campaign.Moments(t, tries*len(signals), *soak)
	for i := range tries {
		for j, how := range signals {
			after := time.Duration(moments[i*len(signals)+j] * float64(longest))
			t.Run(fmt.Sprintf("%d: %s after %.1f s", i, how, after.Seconds()), func(t *testing.T) {
				dist := t.TempDir()
				cmd := command(t.Context(), root, dist, "check", "--platform", "linux/amd64")
				var stdout, stderr bytes.Buffer
				cmd.Stdout, cmd.Stderr = &stdout, &stderr
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				// Until it handles signals, an interrupt ends the process without output.
				if !begun(dist) {
					o := end(cmd, dist, &stdout, &stderr)
					t.Fatalf("it took no lock: status %d:\n%s", o.code, o.stderr)
				}
				time.Sleep(after)
				if err := cmd.Process.Signal(how); err != nil {
					t.Skipf("it had ended already: %v", err)
				}
				o := end(cmd, dist, &stdout, &stderr)
				if how == syscall.SIGKILL {
					// A killed process cannot clean up: empty directories may
					// remain, but no process and no mount.
					o.pid = -1
					o.dist = t.TempDir()
				} else if o.code != 1 || !strings.Contains(o.stderr, "interrupted") {
					t.Errorf("status %d, want 1 and a word of the interruption:\n%s", o.code, lastLines(o.stderr, 20))
				}
				o.nothingIsLeft(t)
				// If there is a report, it is complete and has not passed.
				if dir := filepath.Join(dist, "report"); isThere(dir) {
					r, err := report.Load(dir)
					page, pageErr := os.ReadFile(filepath.Join(dir, "index.html"))
					if err != nil || r.Verdict() == report.Passed || pageErr != nil || !strings.HasSuffix(strings.TrimSpace(string(page)), "</html>") {
						t.Errorf("the report: %v, %v, %s, a page of %d bytes", err, pageErr, r.Verdict(), len(page))
					}
				}
				if _, err := os.Stat(filepath.Join(dist, "image", "index.json")); err == nil {
					t.Log("the index had been written whole before")
				}
			})
		}
	}
	t.Run("and the next run is good", func(t *testing.T) {
		if o := ci(t, root, t.TempDir(), "build", "--platform", "linux/amd64"); o.code != 0 {
			t.Errorf("status %d", o.code)
		}
	})
}

func isThere(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// begun waits for a run to lock its output directory and reports whether it did.
func begun(dist string) bool {
	for range 6_000 {
		if isThere(filepath.Join(dist, ".lock")) {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// TestASecondRunWaits starts runs with an output directory that this process and
// then another run has locked.
func TestASecondRunWaits(t *testing.T) {
	dist := t.TempDir()
	unlock, err := filelock.Lock(t.Context(), filepath.Join(dist, ".lock"), filelock.Exclusive, dist, time.Second, nil)
	if err != nil {
		t.Fatal(err)
	}
	refused := ci(t, root, dist, "build", "--platform", "linux/amd64", "--wait", "1s")
	if refused.code != 2 || !strings.Contains(refused.stderr, "another process still holds") {
		t.Errorf("with --wait 1s: status %d:\n%s", refused.code, refused.stderr)
	}
	first := command(t.Context(), root, dist, "build", "--platform", "linux/amd64")
	var stdout, stderr bytes.Buffer
	first.Stdout, first.Stderr = &stdout, &stderr
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(time.Second, unlock)
	second := ci(t, root, dist, "build", "--platform", "linux/amd64")
	one := end(first, dist, &stdout, &stderr)
	if one.code != 0 || second.code != 0 || one.stdout != second.stdout {
		t.Errorf("first: status %d, %s; second: status %d, %s", one.code, one.stdout, second.code, second.stdout)
	}
	for _, o := range []outcome{one, second} {
		if !strings.Contains(o.stderr, "waiting for another process that uses the output directory") {
			t.Errorf("it does not say that it waits:\n%s", o.stderr)
		}
	}
}
