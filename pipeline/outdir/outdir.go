// Package outdir writes directories and files atomically, so that a command can
// rely on what an earlier one left under dist/.
package outdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Replace replaces dir by a new directory. fill writes into a hidden sibling (on the
// same file system, so that a rename is enough), which is renamed to dir once fill
// returns nil. If fill fails, dir is unchanged.
//
// dir is missing for an instant between two renames, but it is never incomplete.
// Callers must not replace the same dir concurrently; Replace first removes what a
// killed run left beside dir.
func Replace(dir string, fill func(tmp string) error) (err error) {
	dir = filepath.Clean(dir)
	parent, prefix := filepath.Dir(dir), partial(filepath.Base(dir))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("making the directory of %s: %w", dir, err)
	}
	siblings, err := os.ReadDir(parent)
	if err != nil {
		return fmt.Errorf("looking for leftovers in %s: %w", parent, err)
	}
	for _, e := range siblings { // not by a pattern: dir's name may have brackets
		if !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(parent, e.Name())); err != nil {
			return fmt.Errorf("removing what a killed run left: %w", err)
		}
	}
	work, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return fmt.Errorf("making a temporary directory beside %s: %w", dir, err)
	}
	defer func() {
		if rmErr := os.RemoveAll(work); rmErr != nil && err == nil {
			err = fmt.Errorf("removing %s: %w", work, rmErr)
		}
	}()

	fresh, old := filepath.Join(work, "new"), filepath.Join(work, "old")
	if err := os.Mkdir(fresh, 0o755); err != nil {
		return fmt.Errorf("preparing %s: %w", dir, err)
	}
	if err := fill(fresh); err != nil {
		return err
	}
	if err := os.Rename(dir, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("moving the old %s out of the way: %w", dir, err)
	}
	if err := os.Rename(fresh, dir); err != nil {
		err = fmt.Errorf("putting %s in place: %w", dir, err)
		if back := os.Rename(old, dir); back != nil && !errors.Is(back, fs.ErrNotExist) { // there may have been nothing
			err = errors.Join(err, fmt.Errorf("restoring the old %s: %w", dir, back))
		}
		return err
	}
	return nil
}

// partial returns the name prefix of a sibling that is being written.
func partial(name string) string { return "." + name + ".partial-" }

// WriteFile writes a file atomically. It creates the file's directory if missing.
func WriteFile(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), partial(filepath.Base(name)))
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}

// Prune removes all but the keep newest directories under parent. It keeps those
// younger than age, since another process may be using them. Directories whose name
// begins with a dot are incomplete and do not count towards keep.
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
