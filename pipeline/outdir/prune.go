package outdir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Prune removes all but the newest directories under parent, and none that was
// touched of late: another process may be reading it, or writing it. One whose
// name begins with a dot is not finished: it counts for nothing.
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
	for _, d := range dirs {
		finished := !strings.HasPrefix(d.Name(), ".")
		if finished && keep > 0 {
			keep--
		} else if time.Since(d.ModTime()) > age {
			errs = append(errs, os.RemoveAll(filepath.Join(parent, d.Name())))
		}
	}
	return errors.Join(errs...)
}
