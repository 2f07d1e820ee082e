package release

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

// PinnedImage is an image pinned in versions.yml.
type PinnedImage struct {
	Key     string `json:"key"`               // in versions.yml
	Name    string `json:"name"`              // with its tag
	Digest  string `json:"digest,omitempty"`  // "" when pinned by tag only
	Now     string `json:"now,omitempty"`     // current digest of the tag, "" when unknown
	Problem string `json:"problem,omitempty"` // why Now is unknown
}

// Reference returns the image reference in versions.yml.
func (p PinnedImage) Reference() string { return Base{p.Name, p.Digest}.Reference() }

// Behind reports whether the tag has moved since the image was pinned.
func (p PinnedImage) Behind() bool { return p.Digest != "" && p.Now != "" && p.Now != p.Digest }

// State describes for people whether the pin is up to date.
func (p PinnedImage) State() string {
	const move = `: run "go run ./ci pin --images"`
	switch {
	case p.Digest == "":
		return "pinned by tag, no digest known yet" + move
	case p.Behind():
		return "behind: pinned at " + short(p.Digest) + ", the tag is now " + short(p.Now) + move
	case p.Now == "":
		return "pinned at " + short(p.Digest) + "; the tag is not known: " + p.Problem
	}
	return "pinned at " + short(p.Digest) + ", as the tag is now"
}

// PinnedImages returns the images pinned in versions.yml, the base first.
func PinnedImages(v *versions.Versions) []PinnedImage {
	list := []PinnedImage{
		{Key: "base.published", Name: v.Base.Published},
		{Key: "sidecars.postgres.image", Name: v.Sidecars.Postgres.Image},
		{Key: "sidecars.redis.image", Name: v.Sidecars.Redis.Image},
		{Key: "container", Name: v.Container},
	}
	for i := range list {
		list[i].Name, list[i].Digest, _ = strings.Cut(list[i].Name, "@")
	}
	return list
}

// pinTimeout limits the wait for registries' answers: a plan does not depend on
// them.
const pinTimeout = 10 * time.Second

// FindPins looks up the current digests of the tags of the images that versions.yml
// pins by digest.
func FindPins(ctx context.Context, source registry.Source, v *versions.Versions) []PinnedImage {
	ctx, cancel := context.WithTimeoutCause(ctx, pinTimeout, fmt.Errorf("no answer after %s", pinTimeout))
	defer cancel()
	list := PinnedImages(v)
	var wait sync.WaitGroup
	for i := range list {
		pin := &list[i]
		if pin.Digest == "" {
			continue
		}
		wait.Go(func() {
			digest, err := source.Digest(ctx, pin.Name)
			switch {
			case err == nil:
				pin.Now = digest.String()
			case ctx.Err() != nil:
				pin.Problem = context.Cause(ctx).Error()
			default:
				pin.Problem = failure.Lines(err)[0]
			}
		})
	}
	wait.Wait()
	return list
}

// Resolve looks up an image by its tag. It returns the digest of its index and
// the image of each platform.
func Resolve(ctx context.Context, source registry.Source, name string) (digest string, images []registry.PlatformImage, err error) {
	index, err := source.Index(ctx, name)
	if err != nil {
		return "", nil, failure.Usagef("pin %s: %w: want an index with images for %s", name, err, strings.Join(platform.Architectures(), " and "))
	}
	if index == nil {
		return "", nil, failure.Usagef("pin %s: its registry has no such image: look for the tag it has now", name)
	}
	hash, err := index.Digest()
	if err != nil {
		return "", nil, fmt.Errorf("pin %s: %w", name, err)
	}
	for _, p := range platform.All() {
		img, err := engine.ImageFor(index, p.OCI)
		if err != nil {
			return "", nil, failure.Usagef("pin %s: %w: choose an image that has %s", name, err, strings.Join(platform.Architectures(), " and "))
		}
		images = append(images, registry.PlatformImage{Platform: p.OCI, Image: img})
	}
	return hash.String(), images, nil
}
