package registry

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// content is what a target's tag is for: the index, or one of its images.
func (p *publisher) content(t Target) (remote.Taggable, v1.Hash, error) {
	if t.platform == "" {
		return p.idx, p.digest, nil
	}
	for _, img := range p.images {
		if Key(img.Platform) == t.platform {
			digest, err := img.Image.Digest()
			return img.Image, digest, err
		}
	}
	return nil, v1.Hash{}, fmt.Errorf("the index has no image for %s; leave the tag out or build it", t.platform)
}

// tagged gives the digest that a tag points at, or none when there is no such
// tag.
func (p *publisher) tagged(ctx context.Context, r *repository, t Target) (digest v1.Hash, err error) {
	err = p.try(ctx, r, "asking for the tag "+t.tag.TagStr(), func(ctx context.Context) error {
		desc, err := p.puller.Head(ctx, t.tag)
		if absent(err) {
			return nil
		}
		if err == nil {
			digest = desc.Digest
		}
		return err
	})
	return digest, err
}

// moveTag makes the target's tag point at what it is for, and asks whether it
// does.
func (p *publisher) moveTag(ctx context.Context, r *repository, t Target) error {
	content, digest, err := p.content(t)
	if err != nil {
		return err
	}
	was, err := p.tagged(orSend(ctx), r, t)
	if err != nil {
		return err
	}
	if was == digest {
		fmt.Fprintf(&r.host.meter, "%s is %s already: nothing to do\n", t, digest)
		r.done[t.String()] = true
		return nil
	}
	if err := p.try(ctx, r, "moving the tag", func(ctx context.Context) error {
		return p.pusher.Put(ctx, t.tag, content)
	}); err != nil {
		return err
	}
	now, err := p.tagged(ctx, r, t)
	if err == nil && now != digest { // a cache on the way may still have the old one
		now, err = p.tagged(ctx, r, t)
	}
	if err != nil {
		return err
	}
	if now != digest {
		found := "is " + now.String()
		if now == (v1.Hash{}) {
			found = "is not there"
		}
		return fmt.Errorf("the tag was set to %s, but %s: another run publishes to it too; publish again when that has ended", digest, found)
	}
	fmt.Fprintf(&r.host.meter, "%s is now %s\n", t, digest)
	r.done[t.String()] = false
	return nil
}
