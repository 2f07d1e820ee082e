package registry

import (
	"context"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"
)

// push sends the blobs that are missing, then the manifests of the images,
// then the index, by digest. A tag that may not move is refused before that.
func (p *publisher) push(ctx context.Context, r *repository) error {
	if !p.ByDigest {
		r.right = true
		for _, t := range r.targets {
			was, err := p.look(ctx, r, t)
			if err != nil {
				return err
			}
			r.right = r.right && was == p.part(t).digest
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(jobs)
	r.meter.begin("sending to "+r.text, p.blobs)
	for _, b := range p.blobs {
		g.Go(func() error {
			sent := &countedLayer{Layer: b.layer, meter: &r.meter, total: &r.bytes}
			var layer v1.Layer = sent
			if r.first != nil {
				layer = &remote.MountableLayer{Layer: sent, Reference: r.first.repo.Digest(b.digest.String())}
			}
			if err := p.try(orSend(gctx), r, "sending blob "+b.digest.String(), func(ctx context.Context) error {
				return r.pusher.Upload(ctx, r.repo, layer)
			}); err != nil {
				return err
			}
			if sent.n.Load() > 0 {
				r.blobs.Add(1)
			}
			sent.set(b.size) // it is there, sent or not
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	fmt.Fprintf(&r.meter, "%s: %d blobs are there, %d of them sent (%.1f MB)\n", r.text, len(p.blobs), r.blobs.Load(), float64(r.bytes.Load())/1e6)
	for _, part := range p.parts {
		if err := p.try(orSend(ctx), r, "sending "+part.what, func(ctx context.Context) error {
			return r.pusher.Push(ctx, r.repo.Digest(part.digest.String()), part.manifest)
		}); err != nil {
			return err
		}
	}
	return p.pushAttachments(ctx, r)
}

// blob is a layer or a configuration.
type blob struct {
	layer  v1.Layer
	digest v1.Hash
	size   int64
}

// appendBlobs adds the blobs of an image that are not in the list yet.
func appendBlobs(blobs []blob, img v1.Image) ([]blob, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	config, err := partial.ConfigLayer(img)
	if err != nil {
		return nil, err
	}
	for _, layer := range append(layers, config) {
		b := blob{layer: layer}
		if b.digest, err = layer.Digest(); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(blobs, func(have blob) bool { return have.digest == b.digest }) {
			continue
		}
		if b.size, err = layer.Size(); err != nil {
			return nil, fmt.Errorf("blob %s: %w", b.digest, err)
		}
		blobs = append(blobs, b)
	}
	return blobs, nil
}
