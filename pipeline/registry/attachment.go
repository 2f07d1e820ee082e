package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Attachment is a document attached to a published index or to one of its images: an
// SBOM, a provenance, a signature. It is a separate manifest that names its subject
// (OCI 1.1), never an entry of the index, which clients would take for the image of
// an unknown platform.
//
// The attachments of an index must be reproducible byte for byte: publishing again
// sends only what is missing.
type Attachment struct {
	Subject v1.Hash  // of the index or of one of its images
	Image   v1.Image // the manifest and its blobs
	// Tag also names the manifest, for clients that do not read referrers, such as
	// cosign's "sha256-….sig". If it is empty, the manifest must name its subject.
	Tag string

	legacy v1.Image // the manifest in OCI 1.0 form; nil if Image has that form
}

// Document is the content of an attachment.
type Document struct {
	Type        string // media type of Data, and the artifact type
	Data        []byte
	Annotations map[string]string // of the manifest; registries list them with referrers
}

// The empty configuration of an artifact manifest (OCI 1.1, "Guidance for an empty
// descriptor").
const (
	emptyConfig     = "{}"
	emptyConfigType = "application/vnd.oci.empty.v1+json"
)

// Attach returns an attachment of idx, or of one of its images, with the document.
func Attach(idx v1.ImageIndex, subject v1.Hash, doc Document) (Attachment, error) {
	indexDescriptor, err := partial.Descriptor(idx)
	if err != nil {
		return Attachment{}, fmt.Errorf("reading the index: %w", err)
	}
	indexManifest, err := idx.IndexManifest()
	if err != nil {
		return Attachment{}, fmt.Errorf("reading the index: %w", err)
	}
	subjects := append([]v1.Descriptor{*indexDescriptor}, indexManifest.Manifests...)
	i := slices.IndexFunc(subjects, func(d v1.Descriptor) bool { return d.Digest == subject })
	if i < 0 {
		return Attachment{}, fmt.Errorf("attach a document of type %s: the index has no %s", doc.Type, subject)
	}
	blobs := []v1.Layer{static.NewLayer([]byte(emptyConfig), emptyConfigType), static.NewLayer(doc.Data, types.MediaType(doc.Type))}
	config, configErr := partial.Descriptor(blobs[0])
	data, dataErr := partial.Descriptor(blobs[1])
	if err := errors.Join(configErr, dataErr); err != nil {
		return Attachment{}, err
	}
	manifest := v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: doc.Type,
		Config: *config, Layers: []v1.Descriptor{*data}, Annotations: doc.Annotations,
		Subject: &v1.Descriptor{MediaType: subjects[i].MediaType, Size: subjects[i].Size, Digest: subject},
	}
	img, imgErr := newDocument(manifest, blobs)
	manifest.ArtifactType, manifest.Config.MediaType = "", types.MediaType(doc.Type)
	legacy, legacyErr := newDocument(manifest, blobs)
	if err := errors.Join(imgErr, legacyErr); err != nil {
		return Attachment{}, fmt.Errorf("attach a document of type %s: %w", doc.Type, err)
	}
	return Attachment{Subject: subject, Image: img, legacy: legacy}, nil
}

// ArtifactType returns the type of an attachment. In OCI 1.0 form, the media type of
// the configuration is the artifact type.
func ArtifactType(m *v1.Manifest) string {
	return cmp.Or(m.ArtifactType, string(m.Config.MediaType))
}

// document implements partial.CompressedImageCore with one layer and an empty
// configuration.
type document struct {
	manifest []byte
	blobs    []v1.Layer // the empty configuration and the layer
}

func newDocument(manifest v1.Manifest, blobs []v1.Layer) (v1.Image, error) {
	raw, err := json.Marshal(manifest)
	if err != nil {
		return nil, err
	}
	return partial.CompressedToImage(document{raw, blobs})
}

func (d document) RawManifest() ([]byte, error)        { return d.manifest, nil }
func (d document) RawConfigFile() ([]byte, error)      { return []byte(emptyConfig), nil }
func (d document) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }
func (d document) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for _, b := range d.blobs {
		if digest, err := b.Digest(); err == nil && digest == h {
			return b, nil
		}
	}
	return nil, fmt.Errorf("the attachment has no blob %s", h)
}

// pushAttachments sends the manifests of the attachments, and ensures that clients
// find them: by the registry's referrers API or, if it has none, by a tag (OCI
// distribution 1.1, "Referrers Tag Schema").
func (p *publisher) pushAttachments(ctx context.Context, r *repository) error {
	r.attached = nil
	for _, a := range p.attached {
		found, err := r.attach(ctx, a)
		if err != nil && p.AttachOptional && !isTemporary(err) && ctx.Err() == nil {
			fmt.Fprintf(&r.meter, "%s: %v; it is published without what is attached, --attach=optional allows that\n", r.text, err)
			r.attached = nil
			return nil
		}
		if err != nil {
			return err
		}
		r.attached = append(r.attached, found)
	}
	for _, part := range p.entries {
		if err := r.ensureListed(ctx, part.digest); err != nil {
			return err
		}
	}
	return nil
}

// attachedManifest is an attachment in the form that a repository accepted.
type attachedManifest struct {
	Attachment
	v1.Descriptor // as listed with the referrers
}

// attach sends one manifest. If the registry rejects artifacts, it sends the OCI 1.0
// form, whose configuration has the artifact type.
func (r *repository) attach(ctx context.Context, a Attachment) (attachedManifest, error) {
	send := func(a Attachment) (attachedManifest, error) {
		d, descErr := partial.Descriptor(a.Image)
		manifest, err := a.Image.Manifest()
		if err = errors.Join(descErr, err); err != nil {
			return attachedManifest{}, err
		}
		d.Annotations = manifest.Annotations
		return attachedManifest{a, *d}, r.try(ctx, sendPolicy, "attaching "+d.Digest.String(), func(ctx context.Context) error {
			if err := r.pusher.Push(ctx, r.repo.Digest(d.Digest.String()), a.Image); err != nil || a.Tag == "" {
				return err
			}
			return r.pusher.Push(ctx, r.repo.Tag(a.Tag), a.Image)
		})
	}
	sent, err := send(a)
	if status := responseError(err).StatusCode; a.legacy == nil || status != http.StatusBadRequest && status != http.StatusUnsupportedMediaType {
		return sent, err
	}
	fmt.Fprintf(&r.meter, "%s: %v; it is tried without artifactType\n", r.text, err)
	sent, legacyErr := send(Attachment{Subject: a.Subject, Image: a.legacy})
	if legacyErr != nil {
		return sent, fmt.Errorf("%w; the registry takes no artifacts: publish without what is attached by --attach=optional", err)
	}
	return sent, nil
}

// ensureListed ensures that the attachments of a subject are listed as its referrers.
func (r *repository) ensureListed(ctx context.Context, subject v1.Hash) error {
	var want []v1.Descriptor
	for _, a := range r.attached {
		if a.Subject == subject && a.Tag == "" {
			want = append(want, a.Descriptor)
		}
	}
	if len(want) == 0 {
		return nil
	}
	operation := "listing what is attached to " + subject.String()
	if !r.useReferrersTag {
		policy := referrersPolicy
		if r.listsReferrers {
			policy = publishPolicy
		}
		err := r.try(ctx, policy, operation, func(ctx context.Context) error {
			have, lists, err := r.referrers(ctx, subject)
			if err != nil || !lists {
				r.useReferrersTag = err == nil
				return err
			}
			r.listsReferrers = true
			if n := len(missing(have, want)); n > 0 {
				return classifiedError{fmt.Errorf("%d of %d are listed", len(want)-n, len(want)), errNotYet}
			}
			return nil
		})
		switch {
		case err == nil && !r.useReferrersTag:
			return nil
		case err != nil && !errors.Is(err, errNotYet) && (r.listsReferrers || !isTemporary(err)):
			return err
		}
		r.useReferrersTag = true // the registry claims to list them but does not, or keeps failing
	}
	return r.updateReferrersTag(ctx, r.repo.Tag(referrersTag(subject)), operation, want)
}

// updateReferrersTag adds to the list of a referrers tag until it has all entries. A
// concurrent run may overwrite the list with one based on the same earlier list.
func (r *repository) updateReferrersTag(ctx context.Context, tag name.Tag, operation string, want []v1.Descriptor) error {
	var overwritten []v1.Descriptor // the list before the last write
	written := false
	return r.try(ctx, publishPolicy, operation, func(ctx context.Context) error {
		have, err := readReferrersTag(ctx, r.puller, tag)
		if err == nil && len(missing(have, want)) > 0 && (!written || len(missing(overwritten, have))+len(missing(have, overwritten)) > 0) {
			if err := r.pusher.Put(ctx, tag, mergeReferrers(have, want)); err != nil {
				return err
			}
			overwritten, written = have, true
			have, err = readReferrersTag(ctx, r.puller, tag)
		}
		if n := len(missing(have, want)); err == nil && n > 0 {
			return classifiedError{fmt.Errorf("%d of %d are listed: another run has just written the list there, or it is broken: if so, delete it", len(want)-n, len(want)), errNotYet}
		}
		return err
	})
}

// mergeReferrers returns an index of have and those of more that it lacks, sorted.
func mergeReferrers(have, more []v1.Descriptor) rawIndex {
	all := append(slices.Clone(have), missing(have, more)...)
	slices.SortFunc(all, func(a, b v1.Descriptor) int { return cmp.Compare(a.Digest.String(), b.Digest.String()) })
	raw, _ := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: all}) // cannot fail
	return raw
}

// referrersTag returns the tag that lists the referrers of a subject.
func referrersTag(subject v1.Hash) string { return strings.Replace(subject.String(), ":", "-", 1) }

// readReferrersTag reads the list of a referrers tag; it is empty without such a tag.
func readReferrersTag(ctx context.Context, puller *remote.Puller, tag name.Tag) ([]v1.Descriptor, error) {
	got, err := puller.Get(ctx, tag)
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(got.Manifest, &index); err != nil || !got.MediaType.IsIndex() {
		return nil, fmt.Errorf("%s is no list of what is attached (%s): delete it", tag, got.MediaType)
	}
	return index.Manifests, nil
}

// missing returns those of want that are not in have.
func missing(have, want []v1.Descriptor) []v1.Descriptor {
	return slices.DeleteFunc(slices.Clone(want), func(w v1.Descriptor) bool {
		return slices.ContainsFunc(have, func(h v1.Descriptor) bool { return h.Digest == w.Digest })
	})
}

// rawIndex is the JSON text of an index.
type rawIndex []byte

func (r rawIndex) RawManifest() ([]byte, error)        { return r, nil }
func (r rawIndex) MediaType() (types.MediaType, error) { return types.OCIImageIndex, nil }
