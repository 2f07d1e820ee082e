package outdir

import (
	"os"
	"path/filepath"
	"testing"
)

// A reader that has the old file open can still read all of it, and no temporary
// file is left, not even after a failure.
func TestWriteFileReplacesTheFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "versions.yml")
	if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := WriteFile(name, []byte("new, and longer")); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(dir, []byte("in the place of a directory")); err == nil {
		t.Error("a directory was replaced by a file")
	}
	had := make([]byte, 16)
	n, _ := reader.Read(had)
	now, err := os.ReadFile(name)
	if string(had[:n]) != "old" || string(now) != "new, and longer" || err != nil {
		t.Errorf("the reader has %q, the file holds %q, %v", had[:n], now, err)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("the file's mode: %v, %v", info.Mode(), err)
	}
	for _, where := range []string{dir, filepath.Dir(dir)} {
		if entries, err := filepath.Glob(where + "/.*partial-*"); err != nil || len(entries) > 0 {
			t.Errorf("left: %v, %v", entries, err)
		}
	}
}
