package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/v1/partial"
	"golang.org/x/sync/errgroup"
)

// pullBack reads all that a client would read, by digest, and compares each
// byte by way of the digests: what comes back is the index that was pushed, and
// so are its images and their blobs. That a layer unpacks to what its image says
// was found out before the boot, by initgraph.OpenImage.
//
// Blobs of a repository to which nothing was sent and whose tags are all right
// already were read when these were set: their presence has just been asked
// for, they are not read again.
func (p *publisher) pullBack(ctx context.Context, r *repository) error {
	for _, part := range slices.Backward(p.parts) { // from the index on
		if err := p.sameManifest(ctx, r, part.what, part.manifest); err != nil {
			return err
		}
	}
	for _, a := range r.attached {
		if err := p.sameManifest(ctx, r, "what is attached to "+a.Subject.String(), a.Image); err != nil {
			return err
		}
	}
	if r.right && r.blobs.Load() == 0 {
		return nil
	}

	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(jobs)
	r.meter.begin("pulling back from "+r.text, p.blobs)
	for _, b := range p.blobs {
		g.Go(func() error { return p.sameBlob(gctx, r, b) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	fmt.Fprintf(&r.meter, "%s: pulled back %s whole: %d images, %d blobs\n", r.text, p.digest, len(p.parts)-1, len(p.blobs))
	return nil
}

// sameBlob pulls a blob and compares it with its digest.
func (p *publisher) sameBlob(ctx context.Context, r *repository, b blob) error {
	pulled := &countedLayer{meter: &r.meter, total: new(atomic.Int64)}
	return p.try(ctx, r, "pulling back blob "+b.digest.String(), twice(func(ctx context.Context) error {
		var err error
		if pulled.Layer, err = r.puller.Layer(ctx, r.repo.Digest(b.digest.String())); err != nil {
			return err
		}
		return late(copyBytes(ctx, pulled, b.digest, b.size, io.Discard))
	}))
}

// twice makes what was read and is not what it has to be be read once more: a
// line or a cache may have spoiled it, not the registry.
func twice(read func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		err := read(ctx)
		if !corrupt(err) {
			return err
		}
		if err = read(ctx); corrupt(err) {
			return fmt.Errorf("%w; delete it there and publish again", err)
		}
		return err
	}
}

// corrupt says if an error is neither of the connection nor of the registry:
// something came back, but not what had been sent.
func corrupt(err error) bool {
	return err != nil && !passing(err) && answer(err).StatusCode == 0 && !errors.Is(err, errLogin) && !errors.Is(err, context.Canceled)
}

// oneLine puts an error of many lines into one.
func oneLine(err error) error {
	return explained{strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' }), "; "), err}
}

// sameManifest pulls the manifest with m's digest and compares the two.
func (p *publisher) sameManifest(ctx context.Context, r *repository, what string, m partial.WithRawManifest) error {
	digest, err := partial.Digest(m)
	if err != nil {
		return err
	}
	want, err := m.RawManifest()
	if err != nil {
		return err
	}
	return p.try(ctx, r, "pulling back "+what, twice(func(ctx context.Context) error {
		got, err := r.puller.Get(ctx, r.repo.Digest(digest.String()))
		if err != nil {
			return late(err)
		}
		if !bytes.Equal(got.Manifest, want) {
			return fmt.Errorf("what came back is not what was sent as %s", digest)
		}
		return nil
	}))
}
