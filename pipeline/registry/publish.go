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

// Options configures Publish. The zero value is usable.
type Options struct {
	// Booted holds the manifest digest of each image that was booted, by
	// Key. When not nil, Publish refuses any other images.
	Booted map[string]v1.Hash
	// Optional lists registries (HOST[:PORT], as in the targets) that may fail. A
	// failure there is reported in Published.Err and fails nothing else.
	Optional []string
	// Keychain has the credentials; nil is docker's configuration and its helpers.
	Keychain authn.Keychain
	// Transport sends the requests; nil is NewTransport's.
	Transport http.RoundTripper
	// Move allows every tag to move to another image, not only movable ones.
	Move  bool
	Clock Clock
	// Step starts the progress display of a repository. name is the registry for its
	// first repository, the repository for others. nil shows nothing.
	Step func(name string) Step
	// Attach returns the attachments of the index and its images. It is called after
	// the index has been checked; nil attaches nothing. All attachments are in place
	// before any tag moves.
	Attach func(ctx context.Context, idx v1.ImageIndex) ([]Attachment, error)
	// AttachOptional publishes without attachments to registries that reject them.
	AttachOptional bool
	// ByDigest sets no tags: the content can be pulled by digest only.
	ByDigest bool
}

// Published is the result for one target.
type Published struct {
	Target    Target
	Digest    v1.Hash // that the tag points at; the index's when ByDigest
	Blobs     int     // blobs sent to the target's repository
	Bytes     int64   // of these blobs
	Unchanged bool    // no blob was sent and the tag was correct before
	Err       error   // why publishing to an optional registry failed, or nil
}

// Publish pushes idx to all targets in phases. Each phase begins when the previous
// one has succeeded at every registry:
//
//  1. push the blobs, the manifests of all images, the index and the attachments by
//     digest, pull all of it back and compare it;
//  2. set the tags that name a version;
//  3. set "latest", also of single images: the tags that people pull by default.
//
// So a tag never points at incomplete content, and "latest" never at an index whose
// version is missing at a registry. Another run sends only what is missing.
//
// Repositories are processed in parallel. Within a phase a failure does not stop the
// other repositories, so that all failures are reported at once. The first repository
// of a registry is pushed before its others, which mount its blobs. On failure
// Publish also returns the targets whose tag points at idx.
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
	text        string // as given
	registry    string // as given
	optional    bool
	mountFrom   *repository   // the first of the registry, whose blobs are mounted; nil for itself
	pushDone    chan struct{} // closed when the push has ended, also on failure
	targets     []Target
	meter       meter
	err         error // skips the remaining phases
	tagsCurrent bool  // all tags were correct before the push
	// attached holds the attachments in the form that the registry accepted.
	attached        []attachedManifest
	listsReferrers  bool         // the registry has listed them before
	useReferrersTag bool         // the registry does not list them, or failed to
	blobs           atomic.Int64 // sent
	bytes           atomic.Int64
	tagsDone        map[string]bool // correct tags by Target.String; true if correct before
}

// forEachRepository runs a phase in parallel on all repositories that have not failed,
// and returns the errors of those that are not optional.
func forEachRepository(repositories []*repository, phase func(*repository) error) error {
	var wg sync.WaitGroup
	for _, r := range repositories {
		if r.err == nil {
			wg.Go(func() {
				if err := phase(r); err != nil { // others may read r.err concurrently: write it only on failure
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

// published returns the results of the targets.
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

// groupByRepository groups the targets by repository, in the given order, and drops
// duplicates.
func groupByRepository(targets []Target, opts Options) ([]*repository, error) {
	base := cmp.Or[http.RoundTripper](opts.Transport, NewTransport(0, nil)) // shared by all
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
			r.repoClient = newRepoClient(t.tag.Context(), transport.PushScope, opts.Keychain, baseTransport{base, opts.Clock, t.plainHost}, &r.meter)
			if i := slices.IndexFunc(repositories, func(o *repository) bool { return o.repo.Registry == r.repo.Registry }); i >= 0 {
				r.mountFrom = repositories[i]
				r.scopes = append(r.scopes, r.mountFrom.repo.Scope(transport.PullScope))
			}
			repositories = append(repositories, r)
		}
		r := repositories[at]
		// With ByDigest all tags of a repository are the same target.
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

// jobs is the number of blobs that a repository transfers in parallel.
const jobs = 4

// entry is a manifest to publish: the index or one of its images.
type entry struct {
	manifest remote.Taggable
	digest   v1.Hash
	platform string // see Target
	name     string
}

// publisher holds the state that all targets share.
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

// entryFor returns the entry that a target's tag points at.
func (p *publisher) entryFor(t Target) (found entry) {
	if i := slices.IndexFunc(p.entries, func(entry entry) bool { return entry.platform == t.platform }); i >= 0 {
		found = p.entries[i]
	}
	return found
}

// sameAsBooted checks that exactly the booted images are published.
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

// pushAndVerify pushes everything but the tags to a repository, and verifies that it
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

// moveTags sets the tags of a repository: the latest ones, or all others. It sets
// them one by one: docker-registry rewrites the links of a manifest with each tag,
// and rejects an index whose links are half-written.
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

// try is retry with the operation prefixed to the error.
func (r *repository) try(ctx context.Context, policy retryPolicy, operation string, f func(context.Context) error) error {
	if err := r.retry(ctx, policy, operation, f); err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	return nil
}
