package gotool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/filelock"
	"github.com/linuxserver/docker-netbox/pipeline/gotool"
	"github.com/linuxserver/docker-netbox/pipeline/outdir/outdirtest"
)

// hello returns a module with one program and no dependencies.
func hello(t *testing.T) gotool.Module {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":        "module example.test\n\ngo 1.26\n",
		"go.sum":        "",
		"hello/main.go": "package main\n\nfunc main() { println(\"hello\") }\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return gotool.Module{Dir: dir, Cache: t.TempDir(), Environ: os.Environ(), Wait: time.Minute}
}

func TestAProgramIsBuiltOnceWhoeverAsks(t *testing.T) {
	m := hello(t)
	var log bytes.Buffer
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var mine bytes.Buffer
			file, err := m.Program(t.Context(), &mine, "example.test/hello")
			if err != nil {
				t.Error(err)
				return
			}
			if out, err := exec.Command(file).CombinedOutput(); err != nil || string(out) != "hello\n" {
				t.Errorf("%v: %s", err, out)
			}
			mu.Lock()
			defer mu.Unlock()
			log.Write(mine.Bytes())
		})
	}
	wg.Wait()
	if n := bytes.Count(log.Bytes(), []byte("building hello\n")); n != 1 {
		t.Errorf("built %d times:\n%s", n, &log)
	}
}

func TestProgramsOfAnotherModuleAreNotWaitedFor(t *testing.T) {
	one, other := hello(t), hello(t)
	other.Cache = one.Cache
	if err := os.WriteFile(filepath.Join(other.Dir, "go.sum"), []byte("example.test v1.0.0 h1:\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	bin, err := one.Bin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := filelock.Try(filepath.Join(bin, "hello.lock"), filelock.Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	other.Wait = 0
	if _, err := other.Program(t.Context(), t.Output(), "example.test/hello"); err != nil {
		t.Error(err)
	}
	one.Wait = 0
	if _, err := one.Program(t.Context(), t.Output(), "example.test/hello"); err == nil {
		t.Error("built while another holds the lock")
	}
}

func TestABuildThatFailsLeavesNoProgram(t *testing.T) {
	m := hello(t)
	if err := os.WriteFile(filepath.Join(m.Dir, "hello", "main.go"), []byte("package main\n\nfunc main() { nothing() }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if file, err := m.Program(t.Context(), t.Output(), "example.test/hello"); err == nil {
			t.Errorf("got %s", file)
		}
	}
	var left []string
	filepath.Walk(m.Cache, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() && filepath.Ext(path) != ".lock" {
			left = append(left, path)
		}
		return nil
	})
	if len(left) > 0 {
		t.Errorf("left behind: %s", left)
	}
}

func TestProgramsAreKeyedByAllTheyAreBuiltFrom(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module tools\n")
	write("go.sum", "")
	cache := t.TempDir()
	key := func(environ ...string) string {
		m := gotool.Module{Dir: dir, Cache: cache, Environ: append(os.Environ(), environ...)}
		k, err := m.Bin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	first := key()
	if again := key(); again != first {
		t.Errorf("the same inputs named %s and %s", first, again)
	}
	if flags := key("GOFLAGS=-race"); flags == first {
		t.Error("GOFLAGS make no difference")
	}
	write("go.sum", "example.test v1.0.0 h1:\n")
	if sum := key(); sum == first {
		t.Error("go.sum makes no difference")
	}
	write("go.mod", "module tools\n\nreplace (\n\texample.test/a => ./in/a\n\texample.test/b => ../elsewhere\n)\n\nreplace example.test/c => ./c\n")
	for _, name := range []string{"in/a/go.mod", "in/b/go.mod", "c/go.mod"} {
		write(name, "module m\n")
	}
	for name, counts := range map[string]bool{"main.go": true, "sub/a.go": true, "in/a/go.mod": true, "in/a/a/a.go": true, "c/c.go": true, "in/b/b.go": false, "README.md": false} {
		before := key()
		write(name, "package other\n")
		if after := key(); (after != before) != counts {
			t.Errorf("%s makes a difference: %v, want %v", name, after != before, counts)
		}
	}
}

func TestProgramsOfEarlierVersionsGoWhenNothingAsksForThem(t *testing.T) {
	m := hello(t)
	long := time.Now().Add(-31 * 24 * time.Hour)
	for name, used := range map[string]time.Time{"old": long, "recent": long.Add(48 * time.Hour)} {
		dir := filepath.Join(m.Cache, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir, used, used); err != nil {
			t.Fatal(err)
		}
	}
	file, err := m.Program(t.Context(), t.Output(), "example.test/hello")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(m.Cache, "old")); !os.IsNotExist(err) {
		t.Errorf("what nothing asks for is still there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(m.Cache, "recent")); err != nil {
		t.Error(err)
	}
	// A program that is in use is kept, however long ago it was built.
	if err := os.Chtimes(filepath.Dir(file), long, long); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Program(t.Context(), t.Output(), "example.test/hello"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Dir(file)); err != nil || time.Since(info.ModTime()) > time.Hour {
		t.Errorf("using a program does not mark it as used: %v", err)
	}
}

// The tools change every third day; earlier versions are not used any more.
func TestProgramsAreFewHoweverManyVersionsThereWere(t *testing.T) {
	m := hello(t)
	m.Compile = func(_ context.Context, _ io.Writer, p gotool.Program) error { return os.WriteFile(p.Out, nil, 0o755) }
	for v := range 30 {
		if err := os.WriteFile(filepath.Join(m.Dir, "go.sum"), fmt.Append(nil, v), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Program(t.Context(), io.Discard, "example.test/hello"); err != nil {
			t.Fatal(err)
		}
		if left := outdirtest.Age(t, m.Cache, 3*24*time.Hour); len(left) > 10 {
			t.Fatalf("after %d versions, %d are left", v+1, len(left))
		}
	}
}
