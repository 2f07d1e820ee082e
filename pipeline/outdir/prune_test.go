package outdir_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/outdir"
)

// An incomplete directory of a killed run is large and of no use.
func TestPruneKeepsTheNewestThatAreFinished(t *testing.T) {
	dir := t.TempDir()
	for name, age := range map[string]time.Duration{
		".tmp-now": 0, "now": 0, ".tmp-1": 5 * time.Hour, "one": 6 * time.Hour, ".tmp-2": 7 * time.Hour, "two": 8 * time.Hour, "three": 9 * time.Hour,
	} {
		path, at := filepath.Join(dir, name), time.Now().Add(-age)
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := outdir.Prune(dir, 3, 3*time.Hour); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, entry := range entries {
		left = append(left, entry.Name())
	}
	if want := []string{".tmp-now", "now", "one", "two"}; !slices.Equal(left, want) {
		t.Errorf("left are %q, want %q", left, want)
	}
}
