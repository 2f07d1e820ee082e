package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// Opened is an index, or one image, where it lies, with what is beside it.
type Opened struct {
	Digest v1.Hash
	Index  v1.ImageIndex // nil when it is one image
	Image  v1.Image      // nil when it is an index
	Store
}

// Store is what lies beside an index.
type Store interface {
	// Referrers are the manifests that name a digest as their subject.
	Referrers(subject v1.Hash) ([]v1.Descriptor, error)
	// ByDigest returns the image, or the document, that has a digest.
	ByDigest(digest v1.Hash) (v1.Image, error)
	// ByTag is nil when there is no such tag.
	ByTag(tag string) (v1.Image, error)
}

// Open reads a reference, whose tag is latest when it has none. What is read
// through it ends with ctx.
func (s Source) Open(ctx context.Context, reference string) (Opened, error) {
	if last := reference[strings.LastIndex(reference, "/")+1:]; strings.Contains(reference, "/") && !strings.ContainsAny(last, ":@") {
		reference += ":latest"
	}
	got, at, err := s.get(ctx, reference)
	if err != nil {
		return Opened{}, err
	}
	if got == nil {
		return Opened{}, fmt.Errorf("read %s: the registry has no such thing", reference)
	}
	o := Opened{Digest: got.Digest, Store: at}
	if got.MediaType.IsIndex() {
		o.Index, err = got.ImageIndex()
	} else {
		o.Image, err = got.Image()
	}
	if err != nil {
		return Opened{}, fmt.Errorf("read %s: %w", reference, explain(err))
	}
	return o, nil
}

// repositoryStore is a repository of a registry.
type repositoryStore struct {
	ctx context.Context
	*door
}

// Referrers are those that the registry lists, and when it lists none those of
// the tag that has the list in registries that cannot.
func (r repositoryStore) Referrers(subject v1.Hash) (list []v1.Descriptor, err error) {
	err = retry(r.ctx, asking, r.clock, r.log, "asking what is attached to "+subject.String(), func(ctx context.Context) (err error) {
		list, _, err = r.door.referrers(ctx, subject)
		return err
	})
	if err == nil && len(list) == 0 {
		list, err = listOf(r.ctx, r.puller, r.repo.Tag(listTag(subject)))
	}
	if err != nil {
		return nil, unread(err)
	}
	return list, nil
}

func (r repositoryStore) ByDigest(digest v1.Hash) (v1.Image, error) {
	return r.image(r.repo.Digest(digest.String()))
}

func (r repositoryStore) ByTag(tag string) (v1.Image, error) {
	img, err := r.image(r.repo.Tag(tag))
	if absent(err) {
		return nil, nil
	}
	return img, err
}

func (r repositoryStore) image(ref name.Reference) (v1.Image, error) {
	got, err := r.puller.Get(r.ctx, ref)
	if err != nil {
		return nil, unread(err)
	}
	return got.Image()
}

// OpenLayout reads the one index of an OCI layout, such as dist/image. What
// else the layout lists may name it as its subject.
func OpenLayout(dir string) (Opened, error) {
	bad := func(err error) (Opened, error) { return Opened{}, damaged(dir, err) }
	root, err := layout.ImageIndexFromPath(dir)
	if _, statErr := os.Stat(dir); errors.Is(statErr, fs.ErrNotExist) {
		return Opened{}, failure.Usagef("read the image layout %s: there is none; make it with `go run ./ci build`", dir)
	}
	if err != nil {
		return bad(err)
	}
	manifest, err := root.IndexManifest()
	if err != nil {
		return bad(err)
	}
	indexes := slices.DeleteFunc(slices.Clone(manifest.Manifests), func(d v1.Descriptor) bool { return !d.MediaType.IsIndex() })
	if len(indexes) != 1 {
		return bad(fmt.Errorf("it holds %d indexes, not one", len(indexes)))
	}
	o := Opened{Digest: indexes[0].Digest, Store: layoutStore{root, manifest.Manifests}}
	if o.Index, err = root.ImageIndex(o.Digest); err != nil {
		return bad(err)
	}
	if got, err := o.Index.Digest(); err != nil {
		return bad(err)
	} else if got != o.Digest {
		return bad(fmt.Errorf("its index is damaged: it is %s, not %s", got, o.Digest))
	}
	return o, nil
}

// layoutStore is an OCI layout.
type layoutStore struct {
	root   v1.ImageIndex
	listed []v1.Descriptor
}

func (l layoutStore) Referrers(subject v1.Hash) ([]v1.Descriptor, error) {
	var found []v1.Descriptor
	for _, d := range l.listed {
		if !d.MediaType.IsImage() {
			continue
		}
		img, err := l.ByDigest(d.Digest)
		if err != nil {
			return nil, err
		}
		if manifest, err := img.Manifest(); err != nil {
			return nil, err
		} else if manifest.Subject != nil && manifest.Subject.Digest == subject {
			found = append(found, d)
		}
	}
	return found, nil
}

func (l layoutStore) ByDigest(digest v1.Hash) (v1.Image, error) {
	return imageIn(l.root, digest)
}

func (l layoutStore) ByTag(tag string) (v1.Image, error) {
	for _, d := range l.listed {
		if d.Annotations["org.opencontainers.image.ref.name"] == tag {
			return l.ByDigest(d.Digest)
		}
	}
	return nil, nil
}
