package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/engine/dagger/record"
	"github.com/linuxserver/docker-netbox/pipeline/gotool"
)

// recorder starts the shim as the recorder of one container. run returns a command whose
// output is recorded, and from waits for the records from a number on.
func recorder(t *testing.T) (run func(command ...string) *exec.Cmd, from func(n int) []record.Record) {
	t.Helper()
	dir := t.TempDir()
	shim := filepath.Join(dir, "shim")
	if err := gotool.Compile(t.Context(), io.Discard, gotool.Program{Package: ".", GOARCH: runtime.GOARCH, Out: shim}); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	recorder := exec.CommandContext(t.Context(), shim, "record", dir, addr, "netbox")
	recorder.Stderr = t.Output()
	if err := recorder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = recorder.Wait() }) // it is killed when the test ends
	run = func(command ...string) *exec.Cmd {
		return exec.CommandContext(t.Context(), shim, append([]string{"run", dir, "netbox", "--"}, command...)...)
	}
	return run, func(n int) []record.Record {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			var records []record.Record
			answer, err := http.Get(fmt.Sprintf("http://%s/?from=%d&wait=1s", addr, n))
			if err == nil {
				err = json.NewDecoder(answer.Body).Decode(&records)
				answer.Body.Close()
			}
			if err == nil {
				return records
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	}
}

func TestWhatACommandWritesIsRecordedToItsEnd(t *testing.T) {
	run, from := recorder(t)
	from(1) // it answers, so its pipes exist
	began := time.Now()
	cmd := run("sh", "-c", "echo one; echo two >&2; echo >/dev/stdout three; printf unended; exit 3")
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("%v: want the command's own status, 3", err)
	}
	streams := map[string][]string{}
	for n := 0; len(streams["stdout"]) < 4 || len(streams["stderr"]) < 3; {
		records := from(n)
		if n += len(records); len(records) == 0 {
			t.Fatalf("no more comes after %q", streams)
		}
		for _, r := range records {
			if at := time.Unix(0, r.Time); at.Before(began) || at.After(time.Now()) || r.Container != "netbox" {
				t.Errorf("%+v is of %s", r, at)
			}
			streams[r.Stream] = append(streams[r.Stream], r.Kind+" "+r.Text)
		}
	}
	if want := []string{" one", " three", " unended", "c "}; !slices.Equal(streams["stdout"], want) {
		t.Errorf("stdout is %q, want %q", streams["stdout"], want)
	}
	if want := []string{"s ", " two", "c "}; !slices.Equal(streams["stderr"], want) {
		t.Errorf("stderr is %q, want %q", streams["stderr"], want)
	}
}

func TestACommandThatCannotBeStartedIsRecorded(t *testing.T) {
	run, from := recorder(t)
	from(1)
	if err := run("/no/such/program").Run(); err == nil {
		t.Error("it succeeded")
	}
	for n := 0; ; {
		records := from(n)
		if n += len(records); len(records) == 0 {
			t.Fatal("no record says that it failed")
		}
		for _, r := range records {
			if r.Kind == record.Failed && r.Text == "/no/such/program: no such file or directory" {
				return
			}
		}
	}
}
