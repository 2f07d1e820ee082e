package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// applied remembers across restarts of a container which mods its file system
// holds already: a file a mod, its digest inside.
const applied = "var/lib/docker-mods"

// applyMods lays the mods over the root file system in the order they are named.
func (h hook) applyMods(ctx context.Context) {
	for ref := range strings.SplitSeq(h.mods, "|") {
		if ref = strings.TrimSpace(ref); ref == "" {
			continue
		}
		image, err := h.fetch(ctx, ref)
		if err == nil {
			err = h.apply(ctx, ref, image)
		}
		if err != nil {
			h.say("[mod-init] %s: not applied: %v", ref, err)
		}
	}
}

func (h hook) fetch(ctx context.Context, ref string) (v1.Image, error) {
	r, err := name.ParseReference(ref)
	if err != nil {
		return nil, fmt.Errorf("DOCKER_MODS: %w", err)
	}
	image, err := remote.Image(r, remote.WithContext(ctx), remote.WithTransport(guarded{h.transport}),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
	if err != nil {
		return nil, fmt.Errorf("fetching it: %w", err)
	}
	return image, nil
}

func (h hook) apply(ctx context.Context, ref string, image v1.Image) error {
	digest, err := image.Digest()
	if err != nil {
		return fmt.Errorf("reading its manifest: %w", err)
	}
	mark := h.path(applied, strings.NewReplacer("/", "_", ":", "_").Replace(ref))
	if old, _ := os.ReadFile(mark); string(old) == digest.String() {
		h.say("[mod-init] %s: applied before, %s", ref, digest)
		return nil
	}
	if err := h.unpack(ctx, image); err != nil {
		return fmt.Errorf("unpacking it: %w", err)
	}
	err = os.MkdirAll(h.path(applied), 0o755)
	if err == nil {
		err = os.WriteFile(mark, []byte(digest.String()), 0o644)
	}
	if err != nil {
		return fmt.Errorf("recording it: %w", err)
	}
	h.say("[mod-init] %s: applied, %s", ref, digest)
	return nil
}

// unpack lays what the layers of an image come to over the root file system.
// Links that stand for directories stay, as /bin does, and so do the modes of
// directories.
func (h hook) unpack(ctx context.Context, image v1.Image) error {
	r := mutate.Extract(image)
	defer r.Close()
	tar := exec.CommandContext(ctx, "tar", "--extract", "--directory="+h.path(), "--numeric-owner",
		"--keep-directory-symlink", "--no-overwrite-dir", "--file=-")
	tar.Env = append(os.Environ(), "PATH=/usr/bin:/bin")
	tar.Stdin = r
	var said bytes.Buffer
	tar.Stderr = &said
	if err := tar.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.ReplaceAll(strings.TrimSpace(said.String()), "\n", "; "))
	}
	return nil
}

// guarded refuses to talk without TLS, as the published base does: what comes
// back is run as root.
type guarded struct{ next http.RoundTripper }

func (g guarded) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" {
		return nil, errors.New("the registry " + req.URL.Host + " does not speak TLS")
	}
	return g.next.RoundTrip(req)
}
