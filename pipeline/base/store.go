package base

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/linuxserver/docker-netbox/pipeline/filelock"
)

// maxUnused is how long an entry stays in the cache after its last use.
const maxUnused = 14 * 24 * time.Hour

// store is a cache directory with one OCI layout for each kind and key. Entries are
// created by a rename, so an incomplete one is never visible.
type store struct {
	dir  string
	log  io.Writer
	wait time.Duration // limit on waiting for another process that builds the same entry
}

// get returns the directory of an entry, and calls make if it is missing. Only one
// process builds an entry; others wait for it.
func (s store) get(ctx context.Context, kind, key string, make func(context.Context, layout.Path) error) (string, error) {
	name := kind + "-" + key[:16]
	dir := filepath.Join(s.dir, name)
	if s.use(dir) {
		return dir, nil
	}
	unlock, err := filelock.Lock(ctx, filepath.Join(s.dir, "locks", name), filelock.Exclusive, "the cache entry "+name, s.wait, s.log)
	if err != nil {
		return "", err
	}
	defer unlock()
	if s.use(dir) {
		return dir, nil
	}

	// This process holds the lock, so an existing directory is from a killed process.
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

// use reports whether an entry exists, and marks it as used now.
func (s store) use(dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, "index.json")); err != nil {
		return false
	}
	now := time.Now()
	os.Chtimes(dir, now, now) // only prune reads it
	return true
}

// prune removes the entries of a kind that were last used more than maxUnused ago.
// It ignores errors, which only cost disk space.
func (s store) prune(kind string) {
	entries, _ := filepath.Glob(filepath.Join(s.dir, kind+"-*"))
	for _, e := range entries {
		info, err := os.Stat(e)
		if err == nil && time.Since(info.ModTime()) > maxUnused {
			os.RemoveAll(e)
		}
	}
}

// hashOf returns a hash of the JSON encoding of the inputs.
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
