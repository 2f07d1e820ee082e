package base

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheLayerChangesOnlyWithItsInputs(t *testing.T) {
	dir := t.TempDir()
	write := func(path, content string, mode os.FileMode) {
		t.Helper()
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	digest := func(o overlay) string {
		t.Helper()
		l, err := o.layer(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		d, err := l.Digest()
		if err != nil {
			t.Fatal(err)
		}
		key, err := o.key()
		if err != nil {
			t.Fatal(err)
		}
		return key + d.Hex
	}
	o := overlay{arch: "amd64", dir: dir}
	write("usr/bin/b", "#!/bin/sh\n", 0o755)
	write("etc/a", "a", 0o644)
	first := digest(o)

	write("etc/a", "a", 0o600) // a different umask is not a change
	write("usr/bin/b", "#!/bin/sh\n", 0o700)
	if digest(o) != first {
		t.Error("the time or the umask of a checkout changed the layer")
	}
	write("usr/bin/b", "#!/bin/sh\n", 0o644)
	if digest(o) == first {
		t.Error("a lost executable bit did not change the layer")
	}
	write("usr/bin/b", "#!/bin/sh\n", 0o755)
	o.sources = "deb http://mirror.example/debian trixie main\n"
	if digest(o) == first {
		t.Error("another mirror did not change the layer")
	}
}

func TestTheKeyOfTheProgramsIsReproducible(t *testing.T) {
	b := Builder{Source: "../.."}
	first, err := b.programs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.programs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if first.key != second.key {
		t.Error("the same sources have two keys")
	}
}
