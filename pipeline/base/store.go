package base

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"golang.org/x/sys/unix"
)

// unusedFor is how long an entry stays in the cache after its last use.
const unusedFor = 14 * 24 * time.Hour

// store keeps finished artefacts: one OCI layout for each kind and key. An
// entry appears by a rename, whole or not at all.
type store struct {
	dir string
	log io.Writer
}

// get gives the directory of an entry and has it made if it is missing. One
// process makes it; others wait for that one.
func (s store) get(ctx context.Context, kind, key string, make func(context.Context, layout.Path) error) (string, error) {
	name := kind + "-" + key[:16]
	dir := filepath.Join(s.dir, name)
	if s.use(dir) {
		return dir, nil
	}
	unlock, err := s.lock(ctx, name)
	if err != nil {
		return "", err
	}
	defer unlock()
	if s.use(dir) {
		return dir, nil
	}

	// The lock is ours, so whatever lies here was left by a killed process.
	part := dir + ".part"
	if err := os.RemoveAll(part); err != nil {
		return "", fmt.Errorf("removing the unfinished %s: %w", part, err)
	}
	defer os.RemoveAll(part)
	to, err := layout.Write(part, empty.Index)
	if err != nil {
		return "", fmt.Errorf("starting the cache entry %s: %w", part, err)
	}
	if err := make(ctx, to); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", err
	}
	if err := os.Rename(part, dir); err != nil {
		return "", fmt.Errorf("publishing the cache entry %s: %w", dir, err)
	}
	s.prune(kind)
	return dir, nil
}

// use tells whether an entry is there, and marks it as used now.
func (s store) use(dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, "index.json")); err != nil {
		return false
	}
	now := time.Now()
	os.Chtimes(dir, now, now) // for prune alone
	return true
}

// lock takes the lock of an entry, which the kernel lets go when the process
// ends in whatever way.
func (s store) lock(ctx context.Context, name string) (unlock func(), err error) {
	locks := filepath.Join(s.dir, "locks")
	if err := os.MkdirAll(locks, 0o755); err != nil {
		return nil, fmt.Errorf("making the cache directory %s: %w", locks, err)
	}
	f, err := os.OpenFile(filepath.Join(locks, name), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of the cache entry %s: %w", name, err)
	}
	for waited := false; ; waited = true {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("locking the cache entry %s: %w", name, err)
		}
		if !waited && s.log != nil {
			fmt.Fprintf(s.log, "another run is making %s: waiting for it\n", name)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// prune removes the entries of a kind that nobody used for a long time. A
// failure costs disk space only.
func (s store) prune(kind string) {
	entries, _ := filepath.Glob(filepath.Join(s.dir, kind+"-*"))
	for _, e := range entries {
		info, err := os.Stat(e)
		if err == nil && time.Since(info.ModTime()) > unusedFor {
			os.RemoveAll(e)
		}
	}
}

// hashOf identifies inputs by their content.
func hashOf(inputs ...any) string {
	h := sha256.New()
	enc := json.NewEncoder(h)
	for _, in := range inputs {
		if err := enc.Encode(in); err != nil {
			panic(fmt.Sprintf("base: an input that is not data: %v", err))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// hashTree identifies the regular files and links below dir by path, mode and
// content.
func hashTree(dir string) (string, error) {
	var inputs []any
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			inputs = append(inputs, rel, "link", target)
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		inputs = append(inputs, rel, info.Mode()&0o111 != 0, data)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("reading the files of the base image in %s: %w", dir, err)
	}
	return hashOf(inputs...), nil
}
