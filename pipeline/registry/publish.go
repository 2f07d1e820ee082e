package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"golang.org/x/sync/errgroup"
)

// Options of Publish. The zero value works.
type Options struct {
	// Booted holds the manifest digest of each image that was booted, by
	// Key. When not nil, just these images are published, to the byte.
	Booted map[string]v1.Hash
	// Keychain has the credentials; nil is docker's configuration and its
	// helpers.
	Keychain authn.Keychain
	// Transport carries the requests; nil is the network.
	Transport http.RoundTripper
	// Jobs is how many blobs move at once per registry; 4 when zero.
	Jobs  int
	Clock Clock
	// Log receives a line for each step; nil is silence.
	Log io.Writer
	// Attach gives what is to be attached to the index and its images, once it
	// is known what is published; nil is nothing. It is all there before any
	// tag moves.
	Attach func(ctx context.Context, idx v1.ImageIndex) ([]Attachment, error)
	// ByDigest leaves the tags alone: everything is there to be pulled by its
	// digest, and nothing points at it.
	ByDigest bool
}

// Published is what came of one target.
type Published struct {
	Target    Target
	Digest    v1.Hash // what the tag points at; of the index when ByDigest
	Blobs     int     // blobs sent to the target's repository
	Bytes     int64   // bytes sent for them
	Unchanged bool    // nothing had to be sent and the tag was right already
}

// Publish brings idx to all targets and moves their tags, once everything
// under it is complete on every one of them: until then no tag changes
// anywhere. Running it again sends what is missing, or nothing.
//
// Registries are served in parallel; each goes on when another fails, so that
// all failures are told at once. On failure the targets whose tag points at
// idx are returned besides the error.
func Publish(ctx context.Context, idx v1.ImageIndex, targets []Target, opts Options) ([]Published, error) {
	if len(targets) == 0 {
		return nil, errors.New("publishing: no target given")
	}
	p, err := newPublisher(ctx, idx, targets, opts)
	if err != nil {
		return nil, err
	}
	if t, ok := p.transport.next.(*http.Transport); ok && opts.Transport == nil {
		defer t.CloseIdleConnections()
	}

	registries := group(targets)
	var g errgroup.Group
	errs := make([]error, len(registries))
	for i, repositories := range registries {
		g.Go(func() error {
			errs[i] = p.complete(ctx, repositories)
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs, one place a registry
	if err := errors.Join(errs...); err != nil {
		return nil, single(err)
	}

	var done []Published
	if opts.ByDigest {
		for _, r := range slices.Concat(registries...) {
			done = append(done, Published{Target: r.targets[0], Digest: p.digest, Blobs: int(r.blobs.Load()), Bytes: r.bytes.Load()})
		}
		return done, nil
	}
	errs = nil
	for _, r := range slices.Concat(registries...) {
		for _, target := range r.targets {
			published, err := p.moveTag(ctx, r, target)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			done = append(done, published)
		}
	}
	return done, single(errors.Join(errs...))
}

// single unpacks a join of one, so that the error reads and unwraps plainly.
func single(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok && len(joined.Unwrap()) == 1 {
		return joined.Unwrap()[0]
	}
	return err
}

// repository is one repository of a registry, with the targets in it.
type repository struct {
	name    name.Repository
	text    string // as people write it
	targets []Target
	blobs   atomic.Int64 // sent
	bytes   atomic.Int64
}

// group sorts targets by registry and repository, in the order given. A target
// given twice counts once.
func group(targets []Target) [][]*repository {
	var registries [][]*repository
	seen := map[string]bool{}
	for _, t := range targets {
		if seen[t.tag.Name()] {
			continue
		}
		seen[t.tag.Name()] = true

		at := slices.IndexFunc(registries, func(rs []*repository) bool {
			return rs[0].name.RegistryStr() == t.tag.RegistryStr()
		})
		if at < 0 {
			at = len(registries)
			registries = append(registries, nil)
		}
		in := slices.IndexFunc(registries[at], func(r *repository) bool {
			return r.name.RepositoryStr() == t.tag.RepositoryStr()
		})
		if in < 0 {
			in = len(registries[at])
			registries[at] = append(registries[at], &repository{
				name: t.tag.Context(),
				text: t.Repository(),
			})
		}
		registries[at][in].targets = append(registries[at][in].targets, t)
	}
	return registries
}

// publisher holds what all targets share.
type publisher struct {
	idx       v1.ImageIndex
	digest    v1.Hash
	images    []PlatformImage
	attached  []Attachment
	blobs     []blob // of all of them
	options   []remote.Option
	transport guard
	pusher    *remote.Pusher
	valid     func() error // that the parts of idx agree; asked once
	jobs      int
	clock     Clock
	log       io.Writer
}

func newPublisher(ctx context.Context, idx v1.ImageIndex, targets []Target, opts Options) (*publisher, error) {
	p := &publisher{idx: idx, jobs: opts.Jobs, clock: opts.Clock, log: io.Discard}
	if p.jobs == 0 {
		p.jobs = 4
	}
	if opts.Log != nil {
		p.log = &lockedWriter{w: opts.Log}
	}
	var err error
	if p.digest, err = idx.Digest(); err != nil {
		return nil, fmt.Errorf("reading the index to publish: %w", err)
	}
	if p.images, err = Images(idx); err != nil {
		return nil, err
	}
	if p.blobs, err = blobsOf(idx); err != nil {
		return nil, err
	}
	if err := sameAsBooted(p.images, opts.Booted); err != nil {
		return nil, err
	}
	if err := p.attach(ctx, opts.Attach); err != nil {
		return nil, err
	}
	p.valid = sync.OnceValue(func() error { return validateIndex(ctx, idx, p.images) })

	p.transport = guard{next: opts.Transport, clock: opts.Clock, plain: map[string]bool{}}
	if p.transport.next == nil {
		p.transport.next = newTransport()
	}
	for _, t := range targets {
		if t.plainHTTP {
			p.transport.plain[t.tag.RegistryStr()] = true
		}
	}
	keychain := opts.Keychain
	if keychain == nil {
		keychain = authn.DefaultKeychain
	}
	p.options = []remote.Option{
		remote.WithTransport(p.transport),
		remote.WithAuthFromKeychain(keychain),
		remote.WithJobs(p.jobs),
		remote.WithUserAgent("docker-netbox"),
		// One layer of retries is enough, and ours obeys Retry-After.
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
		remote.WithRetryPredicate(func(error) bool { return false }),
		remote.WithRetryStatusCodes(),
	}
	for _, t := range targets {
		if _, _, err := p.content(t); err != nil {
			return nil, fmt.Errorf("publishing to %s: %w", t, err)
		}
	}
	if p.pusher, err = remote.NewPusher(p.options...); err != nil {
		return nil, fmt.Errorf("preparing to publish: %w", err)
	}
	return p, nil
}

// sameAsBooted compares the images with the digests of those that were booted.
func sameAsBooted(images []PlatformImage, booted map[string]v1.Hash) error {
	if booted == nil {
		return nil
	}
	left := len(booted)
	for _, img := range images {
		digest, err := img.Image.Digest()
		if err != nil {
			return fmt.Errorf("reading the image for %s: %w", img.Platform, err)
		}
		switch want, ok := booted[Key(img.Platform)]; {
		case !ok:
			return fmt.Errorf("publishing: the image for %s (%s) was not booted; boot it first", img.Platform, digest)
		case digest != want:
			return fmt.Errorf("publishing: the image for %s is %s, but the one that was booted is %s; boot this one first", img.Platform, digest, want)
		}
		left--
	}
	if left != 0 {
		return fmt.Errorf("publishing: %d images were booted, but the index has only %d", len(booted), len(images))
	}
	return nil
}

// complete brings everything below the tags to the repositories of one
// registry and proves that it can be pulled from there. One repository after
// the other: the later ones mount what the first has.
func (p *publisher) complete(ctx context.Context, repositories []*repository) error {
	for i, r := range repositories {
		var from *repository
		if i > 0 {
			from = repositories[0]
		}
		if err := p.push(ctx, r, from); err != nil {
			return fmt.Errorf("publishing to %s: %w", r.text, err)
		}
		if err := p.pullBack(ctx, r); err != nil {
			return fmt.Errorf("publishing to %s: %w", r.text, err)
		}
	}
	return nil
}

// push sends the blobs that are missing, then the manifests of the images,
// then the index, by digest.
func (p *publisher) push(ctx context.Context, r, from *repository) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(p.jobs)
	for _, b := range p.blobs {
		g.Go(func() error {
			sent := &sentLayer{Layer: b.layer, bytes: &r.bytes}
			var layer v1.Layer = sent
			if from != nil {
				layer = &remote.MountableLayer{Layer: sent, Reference: from.name.Digest(b.digest.String())}
			}
			if err := p.try(gctx, "sending blob "+b.digest.String(), func(ctx context.Context) error {
				return p.pusher.Upload(ctx, r.name, layer)
			}); err != nil {
				return err
			}
			if sent.opened.Load() {
				fmt.Fprintf(p.log, "%s: sent blob %s (%.1f MB)\n", r.text, short(b.digest), float64(b.size)/1e6)
				r.blobs.Add(1)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, img := range p.images {
		digest, err := img.Image.Digest()
		if err != nil {
			return err
		}
		if err := p.try(ctx, fmt.Sprintf("sending the manifest for %s", img.Platform), func(ctx context.Context) error {
			return p.pusher.Push(ctx, r.name.Digest(digest.String()), img.Image)
		}); err != nil {
			return err
		}
	}
	if err := p.try(ctx, "sending the index", func(ctx context.Context) error {
		return p.pusher.Push(ctx, r.name.Digest(p.digest.String()), p.idx)
	}); err != nil {
		return err
	}
	return p.pushAttachments(ctx, r)
}

// pullBack reads all that a client would read, by digest, and compares each
// byte by way of the digests: what comes back is the index that was given, and
// so are its images and their blobs. That these are valid is then found out
// here, once for all registries, rather than by unpacking what each sends.
//
// Blobs of a repository to which nothing was sent and whose tags are all right
// already were read when these were set: their presence has just been asked
// for, they are not read again.
func (p *publisher) pullBack(ctx context.Context, r *repository) error {
	// Not the pusher's: what it remembers is not what the registry has.
	puller, err := remote.NewPuller(p.options...)
	if err != nil {
		return err
	}
	if err := p.sameManifest(ctx, puller, r, "the index", p.idx); err != nil {
		return err
	}
	for _, img := range p.images {
		if err := p.sameManifest(ctx, puller, r, "the manifest for "+img.Platform.String(), img.Image); err != nil {
			return err
		}
	}
	for _, a := range p.attached {
		if err := p.sameManifest(ctx, puller, r, "what is attached to "+a.Subject.String(), a.Image); err != nil {
			return err
		}
	}
	if r.blobs.Load() == 0 {
		current := true
		for _, t := range r.targets {
			is, err := p.pointsHere(ctx, puller, t)
			if err != nil {
				return err
			}
			current = current && is
		}
		if current {
			return nil
		}
	}

	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(p.jobs)
	g.Go(p.valid)
	for _, b := range p.blobs {
		g.Go(func() error {
			return p.try(gctx, "pulling back blob "+b.digest.String(), func(ctx context.Context) error {
				layer, err := puller.Layer(ctx, r.name.Digest(b.digest.String()))
				if err != nil {
					return err
				}
				err = sameBytes(ctx, layer, b.digest, b.size)
				var status *transport.Error
				if err != nil && !passing(err) && !errors.As(err, &status) {
					return fmt.Errorf("%w; delete the blob there and publish again", err)
				}
				return err
			})
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	fmt.Fprintf(p.log, "%s: pulled back %s whole: %d images, %d blobs\n", r.text, p.digest, len(p.images), len(p.blobs))
	return nil
}

// validateIndex checks that digests, sizes, media types and platforms agree
// with each other, and unpacks every layer to compare it with what the image's
// configuration says of it. Unlike validate.Index in full it reads each layer
// once: that is seconds instead of half a minute.
func validateIndex(ctx context.Context, idx v1.ImageIndex, images []PlatformImage) error {
	if err := validate.Index(idx, validate.Fast); err != nil {
		return fmt.Errorf("the index is not valid: %s", oneLine(err))
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, img := range images {
		config, err := img.Image.ConfigFile()
		if err != nil {
			return fmt.Errorf("reading the configuration for %s: %w", img.Platform, err)
		}
		layers, err := img.Image.Layers()
		if err != nil {
			return fmt.Errorf("reading the layers for %s: %w", img.Platform, err)
		}
		if len(layers) != len(config.RootFS.DiffIDs) {
			return fmt.Errorf("the image for %s has %d layers, but its configuration names %d", img.Platform, len(layers), len(config.RootFS.DiffIDs))
		}
		for i, layer := range layers {
			g.Go(func() error {
				got, err := unpackedDigest(ctx, layer)
				if err != nil {
					return fmt.Errorf("unpacking layer %d for %s: %w", i, img.Platform, err)
				}
				if want := config.RootFS.DiffIDs[i]; got != want {
					return fmt.Errorf("layer %d for %s unpacks to %s, but the image's configuration says %s", i, img.Platform, got, want)
				}
				return nil
			})
		}
	}
	return g.Wait()
}

func unpackedDigest(ctx context.Context, layer v1.Layer) (v1.Hash, error) {
	rc, err := layer.Uncompressed()
	if err != nil {
		return v1.Hash{}, err
	}
	defer rc.Close()
	digest, _, err := v1.SHA256(contextReader{ctx, rc})
	return digest, err
}

// oneLine puts an error that package validate tells in many lines into one.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' }), "; ")
}

// manifest is an image or an index.
type manifest interface {
	Digest() (v1.Hash, error)
	RawManifest() ([]byte, error)
}

// sameManifest pulls the manifest with m's digest and compares the two.
func (p *publisher) sameManifest(ctx context.Context, puller *remote.Puller, r *repository, what string, m manifest) error {
	digest, err := m.Digest()
	if err != nil {
		return err
	}
	want, err := m.RawManifest()
	if err != nil {
		return err
	}
	return p.try(ctx, "pulling back "+what, func(ctx context.Context) error {
		got, err := puller.Get(ctx, r.name.Digest(digest.String()))
		if err != nil {
			return err
		}
		if !bytes.Equal(got.Manifest, want) {
			return fmt.Errorf("what came back is not what was sent as %s", digest)
		}
		return nil
	})
}

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

// pointsHere says if a tag points at what it is for.
func (p *publisher) pointsHere(ctx context.Context, puller *remote.Puller, t Target) (is bool, err error) {
	_, digest, err := p.content(t)
	if err != nil {
		return false, err
	}
	err = p.try(ctx, "asking for the tag "+t.tag.TagStr(), func(ctx context.Context) error {
		desc, err := puller.Head(ctx, t.tag)
		var status *transport.Error
		if errors.As(err, &status) && status.StatusCode == http.StatusNotFound {
			return nil
		}
		if err != nil {
			return err
		}
		is = desc.Digest == digest
		return nil
	})
	return is, err
}

// moveTag makes the target's tag point at what it is for.
func (p *publisher) moveTag(ctx context.Context, r *repository, t Target) (Published, error) {
	out := Published{Target: t, Blobs: int(r.blobs.Load()), Bytes: r.bytes.Load()}
	content, digest, err := p.content(t)
	if err != nil {
		return out, fmt.Errorf("publishing to %s: %w", t, err)
	}
	out.Digest = digest
	puller, err := remote.NewPuller(p.options...)
	if err != nil {
		return out, fmt.Errorf("publishing to %s: %w", t, err)
	}
	is, err := p.pointsHere(ctx, puller, t)
	if err != nil {
		return out, fmt.Errorf("publishing to %s: %w", t, err)
	}
	if is {
		out.Unchanged = out.Blobs == 0
		fmt.Fprintf(p.log, "%s is %s already: nothing to do\n", t, digest)
		return out, nil
	}
	if err := p.try(ctx, "moving the tag", func(ctx context.Context) error {
		return p.pusher.Put(ctx, t.tag, content)
	}); err != nil {
		return out, fmt.Errorf("publishing to %s: %w", t, err)
	}
	fmt.Fprintf(p.log, "%s is now %s\n", t, digest)
	return out, nil
}

func (p *publisher) try(ctx context.Context, what string, f func(context.Context) error) error {
	return retry(ctx, p.clock, p.log, what, f)
}

// blob is a layer or a configuration.
type blob struct {
	layer  v1.Layer
	digest v1.Hash
	size   int64
}

// blobsOf lists the blobs under an index, each once, in order.
func blobsOf(idx v1.ImageIndex) ([]blob, error) {
	images, err := Images(idx)
	if err != nil {
		return nil, err
	}
	var blobs []blob
	for _, img := range images {
		if blobs, err = appendBlobs(blobs, img.Image); err != nil {
			return nil, fmt.Errorf("reading the image for %s: %w", img.Platform, err)
		}
	}
	return blobs, nil
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

// sentLayer counts what is read of a layer: it is read only to be sent.
type sentLayer struct {
	v1.Layer
	opened atomic.Bool
	bytes  *atomic.Int64
}

func (l *sentLayer) Compressed() (io.ReadCloser, error) {
	rc, err := l.Layer.Compressed()
	if err != nil {
		return nil, err
	}
	l.opened.Store(true)
	return countedReader{rc, l.bytes}, nil
}

type countedReader struct {
	io.ReadCloser
	n *atomic.Int64
}

func (r countedReader) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	r.n.Add(int64(n))
	return n, err
}

// lockedWriter lets many steps write lines to one writer.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// short gives enough of a digest to tell blobs apart in a log.
func short(h v1.Hash) string { return h.Hex[:12] }
