package registry

import (
	"context"
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// look returns the digest that a tag points at, or none when there is no such
// tag, and refuses to move the tag of a version to another image.
func (p *publisher) look(ctx context.Context, r *repository, t Target) (was v1.Hash, err error) {
	err = p.try(orSend(ctx), r, "asking for the tag "+t.tag.TagStr(), func(ctx context.Context) error {
		desc, err := r.puller.Head(ctx, t.tag)
		if absent(err) {
			return nil
		}
		if err == nil {
			was = desc.Digest
		}
		return err
	})
	to := p.part(t).digest
	if err != nil || t.moves || p.Move || was == (v1.Hash{}) || was == to {
		return was, err
	}
	commit := ""
	if err := p.try(ctx, r, "reading the tag "+t.tag.TagStr(), func(ctx context.Context) error {
		got, err := r.puller.Get(ctx, r.repo.Digest(was.String()))
		if err == nil {
			commit = revisionOf(got)
		}
		return err
	}); err != nil {
		return was, err
	}
	if commit != "" {
		commit = " of commit " + commit
	}
	return was, fmt.Errorf("the tag %s is %s%s and names that image for ever, this one is %s: publish it under another number or tag, or pass --move", t.tag.TagStr(), was, commit, to)
}

// moveTag makes the target's tag point at what it is for, and asks whether it
// does.
func (p *publisher) moveTag(ctx context.Context, r *repository, t Target) error {
	digest := p.part(t).digest
	was, err := p.look(ctx, r, t)
	if err != nil {
		return err
	}
	if was == digest {
		fmt.Fprintf(&r.meter, "%s is %s already: nothing to do\n", t, digest)
		r.done[t.String()] = true
		return nil
	}
	if err := p.try(ctx, r, "moving the tag", func(ctx context.Context) error {
		return r.pusher.Put(ctx, t.tag, p.part(t).manifest)
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
		if _, err := r.puller.Head(ctx, r.repo.Digest(desc.Digest.String())); absent(err) {
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
