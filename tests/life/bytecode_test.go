package life

import (
	"bytes"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/linuxserver/docker-netbox/tests/need"
)

// TestByteCodeIsTheSameInWhateverOrderItIsCompiled recompiles the image's byte code with
// packages unpacked in another order: all with -soak, otherwise two, which shows that the
// script reproduces the image's files. The compiler's output depends on what its process
// has loaded and compiled before: when one process compiled all packages in random order,
// 1 of 5831 files differed, in redis/cluster.
func TestByteCodeIsTheSameInWhateverOrderItIsCompiled(t *testing.T) {
	need.Root(t, "unpacking an image and running its Python")
	machine.once.Do(func() { makeMachine(t) })
	if !machine.ready {
		t.Fatal("the image could not be built: see the first test that failed")
	}
	root := t.TempDir()
	unpack(t, machine.image, root)
	found, err := filepath.Glob(root + "/lsiopy/lib/python3.*/site-packages")
	if err != nil || len(found) != 1 {
		t.Fatalf("site-packages is %q (%v)", found, err)
	}
	was := byteCode(t, found[0])
	packages := []string{"redis", "django"}
	if *soak {
		entries, err := os.ReadDir(found[0])
		if err != nil {
			t.Fatal(err)
		}
		packages = nil
		for _, entry := range entries {
			packages = append(packages, entry.Name())
		}
	}
	rand.Shuffle(len(packages), func(i, j int) { packages[i], packages[j] = packages[j], packages[i] })
	again := filepath.Join(root, "again")
	if err := os.Mkdir(again, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range packages {
		move(t, filepath.Join(found[0], name), filepath.Join(again, name))
	}
	for path := range byteCode(t, again) {
		if err := os.Remove(filepath.Join(again, path)); err != nil {
			t.Fatal(err)
		}
	}
	script, err := os.ReadFile(repository + "/build/compile")
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "compile"), script, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "dev/null"), nil, 0o666) // xargs reads it
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", "nproc() { echo 1; }; set -- /again; . /compile")
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/bin:/bin"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("compile: %v: %s", err, out)
	}
	is := byteCode(t, again)
	if len(is) < 500 {
		t.Errorf("only %d files were compiled", len(is))
	}
	maps.DeleteFunc(was, func(path string, _ []byte) bool {
		top, _, _ := strings.Cut(path, "/")
		return !slices.Contains(packages, top)
	})
	if len(was) < 500 {
		t.Errorf("the image has only %d of them", len(was))
	}
	for path, code := range was { // files that no service loads have no byte code
		if !bytes.Equal(code, is[path]) {
			t.Errorf("%s was compiled to something else", path)
		}
	}
}

// unpack writes the files of an image to a directory.
func unpack(t *testing.T, img v1.Image, dir string) {
	t.Helper()
	rc := mutate.Extract(img)
	defer rc.Close()
	cmd := exec.CommandContext(t.Context(), "tar", "-x", "-C", dir)
	cmd.Stdin = rc
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("unpack the image: %v: %s", err, out)
	}
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// byteCode returns the compiler's output below a directory.
func byteCode(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".pyc") {
			return err
		}
		files[path], err = os.ReadFile(filepath.Join(dir, path))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
