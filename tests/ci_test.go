package tests

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/tests/testrepo"
)

var soak = flag.Bool("soak", false, "run the long campaigns whole")

// root is the path of the repository, program that of the command line built from it.
var root, program string

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() { // all tests here boot containers
		fmt.Println("SKIPPED: -short leaves out booting containers")
		return
	}
	os.Exit(func() int {
		if err := prepare(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(filepath.Dir(program))
		return m.Run()
	}())
}

func prepare() error {
	if os.Getuid() != 0 {
		return errors.New("test the pipeline: it boots containers: run the tests as root")
	}
	var err error
	if root, err = filepath.Abs(".."); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "docker-netbox-tests-")
	if err != nil {
		return err
	}
	program = filepath.Join(dir, "ci")
	build := exec.Command("go", "build", "-o", program, "./ci")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the command line: %w: %s", err, out)
	}
	return nil
}

// outcome holds the result of a run of the command line.
type outcome struct {
	stdout, stderr string
	code           int
	dist           string // the output directory
	run            string // the value of marker in its processes
	pid            int
}

// command returns a command that runs the command line on the repository at repo.
func command(ctx context.Context, repo, dist string, args ...string) *exec.Cmd {
	if args[0] != "verify" || slices.Contains(args, "--rebuild") { // verify alone builds and writes nothing
		args = append(args, "--engine", "local", "--output", dist)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = repo
	cmd.Env = append(os.Environ(), marker+"="+rand.Text())
	// If the test ends early, it interrupts the run as a user would.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = time.Minute
	return cmd
}

// ci runs the command line and waits for its exit.
func ci(t *testing.T, repo, dist string, args ...string) outcome {
	t.Helper()
	return ciWith(t, nil, repo, dist, args...)
}

// ciWith is ci with additional environment variables.
func ciWith(t *testing.T, env []string, repo, dist string, args ...string) outcome {
	t.Helper()
	cmd := command(t.Context(), repo, dist, args...)
	cmd.Env = append(env, cmd.Env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatalf("run ci %s: %v", strings.Join(args, " "), err)
	}
	o := end(cmd, dist, &stdout, &stderr)
	t.Logf("ci %s: status %d after %.1f s", strings.Join(args, " "), o.code, time.Since(start).Seconds())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("standard output:\n%s", o.stdout)
			t.Logf("the end of standard error:\n%s", lastLines(o.stderr, 80))
		}
	})
	return o
}

// end waits until a run exits and returns its outcome.
func end(cmd *exec.Cmd, dist string, stdout, stderr *bytes.Buffer) outcome {
	_ = cmd.Wait() // outcome contains the exit code
	_, run, _ := strings.Cut(cmd.Env[len(cmd.Env)-1], "=")
	return outcome{
		stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode(),
		dist: dist, run: run, pid: cmd.Process.Pid,
	}
}

func lastLines(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// report reads the report that the run wrote.
func (o outcome) report(t *testing.T) report.Report {
	t.Helper()
	r, err := report.Load(filepath.Join(o.dist, "report"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// copyOfRepository copies the repository, applies change and commits the result.
func copyOfRepository(t *testing.T, change func(dir string)) string {
	t.Helper()
	dir := t.TempDir()
	testrepo.Copy(t, root, dir)
	if change != nil {
		change(dir)
	}
	testrepo.Commit(t, dir)
	return dir
}

// write writes a file of a copy of the repository.
func write(t *testing.T, dir, name, content string, mode os.FileMode) {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// replace replaces old, which must occur exactly once in the file.
func replace(t *testing.T, dir, name, old, new string) {
	t.Helper()
	file := filepath.Join(dir, name)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), old); n != 1 {
		t.Fatalf("%s holds %q %d times, want once", name, old, n)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), old, new, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}
