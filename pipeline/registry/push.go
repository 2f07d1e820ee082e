package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"
)

// push sends the missing blobs, then by digest the manifests of the images and the
// index, then the attachments. It fails first if a tag that may not move would move.
func (p *publisher) push(ctx context.Context, r *repository) error {
	if !p.ByDigest {
		r.tagsCurrent = true
		for _, t := range r.targets {
			current, err := p.lookUpTag(ctx, r, t)
			if err != nil {
				return err
			}
			r.tagsCurrent = r.tagsCurrent && current == p.entryFor(t).digest
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(jobs)
	r.meter.begin("sending to "+r.text, p.blobs)
	for _, b := range p.blobs {
		g.Go(func() error {
			sent := &countedLayer{Layer: b.layer, meter: &r.meter}
			var layer v1.Layer = sent
			if r.mountFrom != nil {
				layer = &remote.MountableLayer{Layer: sent, Reference: r.mountFrom.repo.Digest(b.digest.String())}
			}
			if err := r.try(gctx, sendPolicy, "sending blob "+b.digest.String(), func(ctx context.Context) error {
				return r.pusher.Upload(ctx, r.repo, layer)
			}); err != nil {
				return err
			}
			if sent.n.Load() > 0 {
				r.blobs.Add(1)
				r.bytes.Add(b.size)
			}
			sent.set(b.size) // the registry has it, whether or not it was sent
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	fmt.Fprintf(&r.meter, "%s: %d blobs are there, %d of them sent (%.1f MB)\n", r.text, len(p.blobs), r.blobs.Load(), float64(r.bytes.Load())/1e6)
	for _, entry := range p.entries {
		if err := r.try(ctx, sendPolicy, "sending "+entry.name, func(ctx context.Context) error {
			return r.pusher.Push(ctx, r.repo.Digest(entry.digest.String()), entry.manifest)
		}); err != nil {
			return err
		}
	}
	return p.pushAttachments(ctx, r)
}

// blob is a layer or a configuration file.
type blob struct {
	layer  v1.Layer
	digest v1.Hash
	size   int64
}

// appendBlobs adds the blobs of an image that are not in the list yet.
func appendBlobs(blobs []blob, img v1.Image) ([]blob, error) {
	manifest, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	for _, d := range append(slices.Clone(manifest.Layers), manifest.Config) {
		if slices.ContainsFunc(blobs, func(have blob) bool { return have.digest == d.Digest }) {
			continue
		}
		layer, err := img.LayerByDigest(d.Digest)
		if err != nil {
			return nil, err
		}
		blobs = append(blobs, blob{layer, d.Digest, d.Size})
	}
	return blobs, nil
}

// lookUpTag returns the digest that a tag points at, zero if the tag does not exist.
// It fails if the tag points at another image and may not move.
func (p *publisher) lookUpTag(ctx context.Context, r *repository, t Target) (current v1.Hash, err error) {
	err = r.try(ctx, sendPolicy, "asking for the tag "+t.tag.TagStr(), func(ctx context.Context) error {
		desc, err := r.puller.Head(ctx, t.tag)
		if isNotFound(err) {
			return nil
		}
		if err == nil {
			current = desc.Digest
		}
		return err
	})
	want := p.entryFor(t).digest
	if err != nil || t.movable || p.Move || current == (v1.Hash{}) || current == want {
		return current, err
	}
	commit := ""
	if got, err := r.puller.Get(ctx, r.repo.Digest(current.String())); err == nil {
		if commit = revisionOf(got); commit != "" {
			commit = " of commit " + commit
		}
	}
	return current, fmt.Errorf("the tag %s is %s%s and names that image for ever, this one is %s: publish it under another number or tag, or pass --move", t.tag.TagStr(), current, commit, want)
}

// moveTag sets the target's tag and verifies what it points at.
func (p *publisher) moveTag(ctx context.Context, r *repository, t Target) error {
	digest := p.entryFor(t).digest
	previous, err := p.lookUpTag(ctx, r, t)
	if err != nil {
		return err
	}
	if previous == digest {
		fmt.Fprintf(&r.meter, "%s is %s already: nothing to do\n", t, digest)
		r.tagsDone[t.String()] = true
		return nil
	}
	if err := r.try(ctx, publishPolicy, "moving the tag", func(ctx context.Context) error {
		return r.pusher.Put(ctx, t.tag, p.entryFor(t).manifest)
	}); err != nil {
		return err
	}
	if err := r.try(ctx, publishPolicy, "asking for the tag "+t.tag.TagStr(), func(ctx context.Context) error {
		desc, err := r.puller.Head(ctx, t.tag)
		switch {
		case isNotFound(err):
			return classifiedError{fmt.Errorf("it was set to %s, but is not there", digest), errNotYet}
		case err != nil || desc.Digest == digest:
			return err
		case desc.Digest == previous:
			return classifiedError{fmt.Errorf("it was set to %s, but is %s as before", digest, previous), errNotYet}
		}
		if _, err := r.puller.Head(ctx, r.repo.Digest(desc.Digest.String())); isNotFound(err) {
			return fmt.Errorf("it was set to %s, but the registry says %s, which it does not have: its answer is wrong; publish again", digest, desc.Digest)
		}
		return fmt.Errorf("it was set to %s, but is %s: another run publishes to it too; publish again when that has ended", digest, desc.Digest)
	}); err != nil {
		return err
	}
	fmt.Fprintf(&r.meter, "%s is now %s\n", t, digest)
	r.tagsDone[t.String()] = false
	return nil
}

// revisionOf returns the commit in the revision annotation or label, or "".
func revisionOf(got *remote.Descriptor) string {
	var annotated struct {
		Annotations map[string]string `json:"annotations"`
	}
	_ = json.Unmarshal(got.Manifest, &annotated)
	commit := annotated.Annotations[RevisionLabel]
	if img, err := got.Image(); commit == "" && !got.MediaType.IsIndex() && err == nil {
		if config, err := img.ConfigFile(); err == nil {
			commit = config.Config.Labels[RevisionLabel]
		}
	}
	return commit
}

// pullBack pulls by digest all that a client would pull: the index, the images,
// their blobs and the attachments. It compares all content with the digests. That
// the layers match the diff IDs of the images was checked by initgraph.OpenImage
// before the boot.
//
// If no blob was sent and all tags were correct before, the blobs are not pulled
// again: they were verified when the tags were set, and push has just checked that
// they exist.
func (p *publisher) pullBack(ctx context.Context, r *repository) error {
	for _, entry := range slices.Backward(p.entries) { // the index first
		if err := r.verifyManifest(ctx, entry.name, entry.digest); err != nil {
			return err
		}
	}
	for _, a := range r.attached {
		if err := r.verifyManifest(ctx, "what is attached to "+a.Subject.String(), a.Digest); err != nil {
			return err
		}
	}
	if r.tagsCurrent && r.blobs.Load() == 0 {
		return nil
	}

	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(jobs)
	r.meter.begin("pulling back from "+r.text, p.blobs)
	for _, b := range p.blobs {
		g.Go(func() error { return r.verifyBlob(gctx, b) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	fmt.Fprintf(&r.meter, "%s: pulled back %s whole: %d images, %d blobs\n", r.text, p.digest, len(p.entries)-1, len(p.blobs))
	return nil
}

// verifyBlob pulls a blob and compares it with its digest.
func (r *repository) verifyBlob(ctx context.Context, b blob) error {
	pulled := &countedLayer{meter: &r.meter}
	return r.pull(ctx, "blob "+b.digest.String(), func(ctx context.Context) (err error) {
		if pulled.Layer, err = r.puller.Layer(ctx, r.repo.Digest(b.digest.String())); err != nil {
			return err
		}
		return copyBytes(ctx, pulled, b.digest, b.size, io.Discard)
	})
}

// verifyManifest pulls a manifest; the client compares it with its digest.
func (r *repository) verifyManifest(ctx context.Context, what string, digest v1.Hash) error {
	return r.pull(ctx, what, func(ctx context.Context) error {
		got, err := r.puller.Get(ctx, r.repo.Digest(digest.String()))
		if err == nil && got.MediaType.IsSchema1() { // whose digests the client does not compare
			err = fmt.Errorf("what came back is not what was sent as %s", digest)
		}
		return err
	})
}

// pull retries read for content that has just been sent: 404 means "not yet".
// Corrupt content is read once more, as a connection or a cache may have damaged it
// rather than the registry.
func (r *repository) pull(ctx context.Context, what string, read func(context.Context) error) error {
	return r.try(ctx, publishPolicy, "pulling back "+what, func(ctx context.Context) error {
		err := read(ctx)
		if isCorrupt(err) {
			if err = read(ctx); isCorrupt(err) {
				return fmt.Errorf("%w; delete it there and publish again", err)
			}
		}
		if isNotFound(err) {
			return classifiedError{err, errNotYet}
		}
		return err
	})
}

// isCorrupt reports whether the registry returned other content than was sent: the
// error is neither a connection failure nor an error response.
func isCorrupt(err error) bool {
	return err != nil && !isTemporary(err) && responseError(err).StatusCode == 0 && !errors.Is(err, errLogin) && !errors.Is(err, context.Canceled)
}

// oneLine joins the lines of an error.
func oneLine(err error) error {
	return rephrasedError{strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' }), "; "), err}
}

// CheckPushAccess checks that each repository of the targets accepts pushes, by opening an
// upload and cancelling it. This finds a wrong password before the build. The first
// repository of a registry is checked before its others, and these only if it
// succeeds: wrong passwords lock accounts. refused holds the errors of optional
// registries. Temporary failures are ignored: the registry is needed only later.
func CheckPushAccess(ctx context.Context, targets []Target, opts Options) (refused []error, err error) {
	repositories, err := groupByRepository(targets, opts)
	if err != nil {
		return nil, err
	}
	for _, first := range []bool{true, false} {
		err = forEachRepository(repositories, func(r *repository) error {
			if first != (r.mountFrom == nil) || !first && r.mountFrom.err != nil {
				return nil
			}
			if err := openUpload(ctx, r.repoClient); err != nil && !isTemporary(err) {
				return fmt.Errorf("ask whether %s may be pushed to: %w", r.text, explain(err))
			}
			return nil
		})
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for _, r := range repositories {
		if r.optional && r.err != nil {
			refused = append(refused, r.err)
		}
	}
	return refused, err
}

// openUpload opens an upload of a blob and cancels it.
func openUpload(ctx context.Context, door *repoClient) error {
	client, repo := http.Client{Transport: door}, door.repo
	address := fmt.Sprintf("%s://%s/v2/%s/blobs/uploads/", repo.Scheme(), repo.RegistryStr(), repo.RepositoryStr())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := transport.CheckError(resp, http.StatusAccepted, http.StatusCreated); err != nil {
		return err
	}
	// Ignore errors: some registries reject cancellation and expire uploads themselves.
	if at, err := resp.Location(); err == nil {
		// The first request now carries credentials, and this may be another host.
		if req, err := http.NewRequestWithContext(ctx, http.MethodDelete, at.String(), nil); err == nil {
			if resp, err := client.Do(req); err == nil {
				resp.Body.Close()
			}
		}
	}
	return nil
}
