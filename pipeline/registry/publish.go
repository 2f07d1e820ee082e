package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// Options of Publish. The zero value works.
type Options struct {
	// Booted holds the manifest digest of each image that was booted, by
	// Key. When not nil, just these images are published, to the byte.
	Booted map[string]v1.Hash
	// Optional are the registries (HOST[:PORT], as in the targets) that may
	// fail: it is reported, and nothing else fails with them.
	Optional []string
	// Keychain has the credentials; nil is docker's configuration and its
	// helpers.
	Keychain authn.Keychain
	// Transport carries the requests; nil is the network, by NewTransport.
	Transport http.RoundTripper
	// Move allows any tag to move to another image, not only those that are
	// made for it.
	Move  bool
	Clock Clock
	// Step starts to show what happens in a repository, the first of its registry
	// under the registry's name; nil is silence.
	Step func(name string) Step
	// Attach returns what is to be attached to the index and its images, once it
	// is known what is published; nil is nothing. It is all there before any
	// tag moves.
	Attach func(ctx context.Context, idx v1.ImageIndex) ([]Attachment, error)
	// AttachOptional publishes without attachments where a registry refuses
	// them for good.
	AttachOptional bool
	// ByDigest leaves the tags alone: everything is there to be pulled by its
	// digest, and nothing points at it.
	ByDigest bool
}

// Published is what came of one target.
type Published struct {
	Target    Target
	Digest    v1.Hash // what the tag points at; of the index when ByDigest
	Blobs     int     // blobs sent to the target's repository
	Bytes     int64   // of these blobs
	Unchanged bool    // nothing had to be sent and the tag was right already
	Err       error   // why an optional registry does not have it; nil when it has
}

// Publish brings idx to all targets in phases, each of which begins when the
// one before has ended well at every registry:
//
//  1. blobs, the manifests of all images, the index, and what is attached, by
//     digest, and all of it pulled back and compared;
//  2. the tags that name a version;
//  3. "latest", also of the single images: what people pull without thinking.
//
// So a tag never points at anything incomplete, and "latest" not at what has
// no version everywhere. Running it again sends what is missing, or nothing.
//
// Repositories are served in parallel; in a phase each goes on when another
// fails, so that all failures are reported at once. The first of a registry is
// sent to before the others, which mount its blobs. On failure the targets whose
// tag points at idx are returned besides the error.
func Publish(ctx context.Context, idx v1.ImageIndex, targets []Target, opts Options) ([]Published, error) {
	p, err := newPublisher(ctx, idx, targets, opts)
	if err != nil {
		return nil, err
	}
	for _, r := range p.repositories {
		switch {
		case opts.Step != nil && r.mountFrom == nil:
			r.meter.step = opts.Step(r.registry)
		case opts.Step != nil:
			r.meter.step = opts.Step(r.text)
		}
		defer func() { r.meter.step.End(r.err) }()
	}

	err = forEachRepository(p.repositories, func(r *repository) error { return p.pushAndVerify(ctx, r) })
	for _, latest := range []bool{false, true} {
		if err == nil && !opts.ByDigest {
			err = forEachRepository(p.repositories, func(r *repository) error { return p.moveTags(ctx, r, latest) })
		}
	}
	return p.published(), err
}

// repository is one repository of a registry, with the targets in it.
type repository struct {
	*repoClient
	text        string // as people write it
	registry    string // as people write it
	optional    bool
	mountFrom   *repository   // of the registry, nil for itself: the others mount its blobs
	pushDone    chan struct{} // closed when it has them, or never will
	targets     []Target
	meter       meter
	err         error // why nothing more is done there
	tagsCurrent bool  // all tags were, before anything was sent
	// attached is what is attached to the index and its images, as it is there.
	attached        []attachedManifest
	listsReferrers  bool         // what is attached: it has done so
	useReferrersTag bool         // it does not, or cannot now
	blobs           atomic.Int64 // sent
	bytes           atomic.Int64
	tagsDone        map[string]bool // tags that are right, by Target.String; true when they were before
}

// forEachRepository runs a phase on all repositories at once where nothing has failed,
// and returns the failures of those that may not fail.
func forEachRepository(repositories []*repository, phase func(*repository) error) error {
	var wg sync.WaitGroup
	for _, r := range repositories {
		if r.err == nil {
			wg.Go(func() {
				if err := phase(r); err != nil { // others may read r.err meanwhile
					r.err = err
				}
			})
		}
	}
	wg.Wait()
	var errs []error
	for _, r := range repositories {
		if !r.optional {
			errs = append(errs, r.err)
		}
	}
	return errors.Join(errs...)
}

// published reports what came of the targets.
func (p *publisher) published() []Published {
	var list []Published
	for _, r := range p.repositories {
		for _, t := range r.targets {
			out := Published{Target: t, Digest: p.entryFor(t).digest, Blobs: int(r.blobs.Load()), Bytes: r.bytes.Load()}
			before, current := r.tagsDone[t.String()]
			switch {
			case p.ByDigest && r.err == nil:
			case current:
				out.Unchanged = before && out.Blobs == 0
			case r.optional && r.err != nil:
				out.Err = r.err
			default:
				continue
			}
			list = append(list, out)
		}
	}
	return list
}

// groupByRepository sorts targets by repository, in the order given. A target given twice
// counts once.
func groupByRepository(targets []Target, opts Options) ([]*repository, error) {
	base := cmp.Or[http.RoundTripper](opts.Transport, NewTransport(0, nil)) // one for all
	var repositories []*repository
	for _, t := range targets {
		if opts.ByDigest {
			t = t.For("")
		}
		at := slices.IndexFunc(repositories, func(r *repository) bool { return r.repo.Name() == t.tag.Context().Name() })
		if at < 0 {
			at = len(repositories)
			registry, _, _ := strings.Cut(t.text, "/")
			r := &repository{
				text: t.Repository(), registry: registry, pushDone: make(chan struct{}),
				optional: slices.Contains(opts.Optional, registry), tagsDone: map[string]bool{},
				meter: meter{step: discardStep{}, clock: opts.Clock},
			}
			r.repoClient = newRepoClient(t.tag.Context(), transport.PushScope, opts.Keychain, baseTransport{base, opts.Clock, t.plain}, &r.meter)
			if i := slices.IndexFunc(repositories, func(o *repository) bool { return o.repo.Registry == r.repo.Registry }); i >= 0 {
				r.mountFrom = repositories[i]
				r.scopes = append(r.scopes, r.mountFrom.repo.Scope(transport.PullScope))
			}
			repositories = append(repositories, r)
		}
		r := repositories[at]
		// By digest its tags would differ in nothing.
		if !slices.ContainsFunc(r.targets, func(other Target) bool { return opts.ByDigest || other.tag.Name() == t.tag.Name() }) {
			r.targets = append(r.targets, t)
		}
	}
	for _, name := range opts.Optional {
		if !slices.ContainsFunc(repositories, func(r *repository) bool { return r.registry == name }) {
			return nil, failure.Usagef("publishing: registry %q is optional, but nothing goes there: name a registry of the targets", name)
		}
	}
	if !slices.ContainsFunc(repositories, func(r *repository) bool { return !r.optional }) {
		return nil, failure.Usagef("publishing: every registry is optional: leave out one of them, or nothing may be published and nobody would know")
	}
	return repositories, nil
}

// jobs is how many blobs of a repository move at once.
const jobs = 4

// entry is a manifest that is published, and that tags may point at.
type entry struct {
	manifest remote.Taggable
	digest   v1.Hash
	platform string // as in Target
	name     string
}

// publisher holds what all targets share.
type publisher struct {
	Options
	digest   v1.Hash // of the index
	entries  []entry // the images, and the index
	attached []Attachment
	blobs    []blob // of all of them

	repositories []*repository
}

func newPublisher(ctx context.Context, idx v1.ImageIndex, targets []Target, opts Options) (*publisher, error) {
	if len(targets) == 0 {
		return nil, errors.New("publishing: no target given")
	}
	p := &publisher{Options: opts}
	var err error
	if p.repositories, err = groupByRepository(targets, opts); err != nil {
		return nil, err
	}
	if p.digest, err = idx.Digest(); err != nil {
		return nil, fmt.Errorf("reading the index to publish: %w", err)
	}
	images, err := Images(idx)
	if err != nil {
		return nil, err
	}
	if err := sameAsBooted(images, opts.Booted); err != nil {
		return nil, err
	}
	for _, img := range images {
		p.entries = append(p.entries, entry{img.Image, img.Digest, Key(img.Platform), "the manifest for " + img.Platform.String()})
		if p.blobs, err = appendBlobs(p.blobs, img.Image); err != nil {
			return nil, fmt.Errorf("reading the image for %s: %w", img.Platform, err)
		}
	}
	p.entries = append(p.entries, entry{idx, p.digest, "", "the index"})
	for _, t := range targets {
		if p.entryFor(t).manifest == nil {
			return nil, fmt.Errorf("publishing to %s: the index has no image for %s; leave the tag out or build it", t, t.platform)
		}
	}
	if err := validate.Index(idx, validate.Fast); err != nil {
		return nil, fmt.Errorf("publishing: the index is not valid: %w; make it again with `go run ./ci build`", oneLine(err))
	}
	if p.Attach != nil {
		if p.attached, err = p.Attach(ctx, idx); err != nil {
			return nil, err
		}
	}
	for _, a := range p.attached {
		if !slices.ContainsFunc(p.entries, func(entry entry) bool { return entry.digest == a.Subject }) {
			return nil, fmt.Errorf("publishing: something is attached to %s, but the index has no such image", a.Subject)
		}
		if p.blobs, err = appendBlobs(p.blobs, a.Image); err != nil {
			return nil, fmt.Errorf("reading what is attached to %s: %w", a.Subject, err)
		}
	}
	return p, nil
}

// entry is what a target's tag is for.
func (p *publisher) entryFor(t Target) (found entry) {
	if i := slices.IndexFunc(p.entries, func(entry entry) bool { return entry.platform == t.platform }); i >= 0 {
		found = p.entries[i]
	}
	return found
}

// sameAsBooted compares the images with the digests of those that were booted.
func sameAsBooted(images []PlatformImage, booted map[string]v1.Hash) error {
	if booted == nil {
		return nil
	}
	for _, img := range images {
		switch want, ok := booted[Key(img.Platform)]; {
		case !ok:
			return fmt.Errorf("publishing: the image for %s (%s) was not booted; boot it first", img.Platform, img.Digest)
		case img.Digest != want:
			return fmt.Errorf("publishing: the image for %s is %s, but the one that was booted is %s; boot this one first", img.Platform, img.Digest, want)
		}
	}
	if len(booted) != len(images) {
		return fmt.Errorf("publishing: %d images were booted, but the index has only %d", len(booted), len(images))
	}
	return nil
}

// pushAndVerify brings everything below the tags to a repository and proves that it
// can be pulled from there.
func (p *publisher) pushAndVerify(ctx context.Context, r *repository) error {
	if r.mountFrom != nil {
		<-r.mountFrom.pushDone
	}
	err := p.push(ctx, r)
	close(r.pushDone)
	if err == nil {
		err = p.pullBack(ctx, r)
	}
	if err != nil {
		return fmt.Errorf("publishing to %s: %w", r.text, err)
	}
	return nil
}

// moveTags makes the tags of a repository point at what they are for: those that
// are latest, or all others. One moves after the other: docker-registry rewrites
// the links of a manifest with each tag, and refuses an index whose links it finds
// half-written.
func (p *publisher) moveTags(ctx context.Context, r *repository, latest bool) error {
	for _, t := range r.targets {
		if t.latest() != latest {
			continue
		}
		if err := p.moveTag(ctx, r, t); err != nil {
			return fmt.Errorf("publishing to %s: %w", t, err)
		}
	}
	return nil
}

// try is retry with an error that says what was tried.
func (r *repository) try(ctx context.Context, policy retryPolicy, what string, f func(context.Context) error) error {
	if err := r.retry(ctx, policy, what, f); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
