package outdir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Prune removes all but the newest directories under parent, and none that was
// touched of late: another process may be reading it.
func Prune(parent string, keep int, age time.Duration) error {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return nil // nothing there yet
	}
	var dirs []fs.FileInfo
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.IsDir() {
			dirs = append(dirs, info)
		}
	}
	slices.SortFunc(dirs, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	var errs []error
	for _, d := range dirs[min(keep, len(dirs)):] {
		if time.Since(d.ModTime()) > age {
			errs = append(errs, os.RemoveAll(filepath.Join(parent, d.Name())))
		}
	}
	return errors.Join(errs...)
}
