// Package outdirtest lets time pass for directories that are pruned by age.
package outdirtest

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Age makes everything directly under parent older, and returns the names found.
func Age(t *testing.T, parent string, by time.Duration) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		at := info.ModTime().Add(-by)
		if err := os.Chtimes(filepath.Join(parent, entry.Name()), at, at); err != nil {
			t.Fatal(err)
		}
		names = append(names, entry.Name())
	}
	return names
}
