package registry

import (
	"context"
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// content is what a tag is for: the index, or one of its images.
type content struct {
	remote.Taggable
	digest v1.Hash
}

// tagged returns the digest that a tag points at, or none when there is no such
// tag.
func (p *publisher) tagged(ctx context.Context, r *repository, t Target) (digest v1.Hash, err error) {
	err = p.try(ctx, r, "asking for the tag "+t.tag.TagStr(), func(ctx context.Context) error {
		desc, err := r.puller.Head(ctx, t.tag)
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
	digest := p.contents[t.platform].digest
	was, err := p.tagged(orSend(ctx), r, t)
	if err != nil {
		return err
	}
	if was == digest {
		fmt.Fprintf(&r.meter, "%s is %s already: nothing to do\n", t, digest)
		r.done[t.String()] = true
		return nil
	}
	if err := p.mayMove(ctx, r, t, was); err != nil {
		return err
	}
	if err := p.try(ctx, r, "moving the tag", func(ctx context.Context) error {
		return r.pusher.Put(ctx, t.tag, p.contents[t.platform].Taggable)
	}); err != nil {
		return err
	}
	if err := p.try(ctx, r, "asking for the tag "+t.tag.TagStr(), func(ctx context.Context) error {
		desc, err := r.puller.Head(ctx, t.tag)
		switch {
		case absent(err):
			return marked{fmt.Errorf("it was set to %s, but is not there", digest), errNotYet}
		case err != nil || desc.Digest == digest:
			return err
		case desc.Digest == was:
			return marked{fmt.Errorf("it was set to %s, but is %s as before", digest, was), errNotYet}
		}
		if _, err := r.puller.Head(ctx, r.name.Digest(desc.Digest.String())); absent(err) {
			return fmt.Errorf("it was set to %s, but the registry says %s, which it does not have: its answer is wrong; publish again", digest, desc.Digest)
		}
		return fmt.Errorf("it was set to %s, but is %s: another run publishes to it too; publish again when that has ended", digest, desc.Digest)
	}); err != nil {
		return err
	}
	fmt.Fprintf(&r.meter, "%s is now %s\n", t, digest)
	r.done[t.String()] = false
	return nil
}

// lookAtTags refuses a publish that would have to move a version's tag to another
// image, before anything is sent, and notes whether all tags are right.
func (p *publisher) lookAtTags(ctx context.Context, r *repository) error {
	r.right = true
	for _, t := range r.targets {
		was, err := p.tagged(orSend(ctx), r, t)
		if err == nil {
			err = p.mayMove(ctx, r, t, was)
		}
		if err != nil {
			return err
		}
		r.right = r.right && was == p.contents[t.platform].digest
	}
	return nil
}

// mayMove refuses to move the tag of a version to another image.
func (p *publisher) mayMove(ctx context.Context, r *repository, t Target, was v1.Hash) error {
	to := p.contents[t.platform].digest
	if t.moves || p.Move || was == (v1.Hash{}) || was == to {
		return nil
	}
	commit := ""
	if err := p.try(ctx, r, "reading the tag "+t.tag.TagStr(), func(ctx context.Context) error {
		got, err := r.puller.Get(ctx, r.name.Digest(was.String()))
		if err == nil {
			commit = revisionOf(got)
		}
		return err
	}); err != nil {
		return err
	}
	if commit != "" {
		commit = " of commit " + commit
	}
	return fmt.Errorf("the tag %s is %s%s and names that image for ever, this one is %s: publish it under another number or tag, or pass --move", t.tag.TagStr(), was, commit, to)
}

// revisionOf says which commit something published is of, if it says so.
func revisionOf(got *remote.Descriptor) string {
	var says struct {
		Annotations map[string]string `json:"annotations"`
	}
	_ = json.Unmarshal(got.Manifest, &says)
	commit := says.Annotations[RevisionLabel]
	if img, err := got.Image(); commit == "" && !got.MediaType.IsIndex() && err == nil {
		if config, err := img.ConfigFile(); err == nil {
			commit = config.Config.Labels[RevisionLabel]
		}
	}
	return commit
}
