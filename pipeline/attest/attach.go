package attest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

// ReportType is the media type of report.json.
const ReportType = "application/vnd.linuxserver.ci-report.v1+json"

// Annotations of what is attached.
const (
	platformAnnotation = "org.linuxserver.platform"
	// Of bundles, as cosign sets them; and of statements that nobody signed.
	contentAnnotation   = "dev.sigstore.bundle.content"
	predicateAnnotation = "dev.sigstore.bundle.predicateType"
	statementAnnotation = "in-toto.io/predicate-type"
)

// Document is a file to attach.
type Document struct {
	Name string // of the file
	// Type is its media type, and how other programs find it:
	// contents.SPDXType, contents.CycloneDXType or ReportType.
	Type     string
	Platform string // registry.Key of the image it describes, "" when it is all
	Data     []byte
}

// Release is everything that is attached to an index.
type Release struct {
	Provenance Provenance // its Others are set here
	Documents  []Document
	// Repositories it is published in, REGISTRY/NAME.
	Repositories []string
	// Signer may be nil: then nobody vouches for anything.
	Signer Signer
}

// Attach makes the attachments of an index and of its images. A document of
// one platform is attached to its image and to the index, any other to all of
// them; so is the provenance, which names the documents by digest. Lists of
// packages are attached as signed statements too, if the signer takes them. The index and each image is
// signed for itself.
func (r Release) Attach(ctx context.Context, idx v1.ImageIndex) ([]registry.Attachment, error) {
	images, err := registry.Images(idx)
	if err != nil {
		return nil, err
	}
	whole, err := idx.Digest()
	if err != nil {
		return nil, fmt.Errorf("attest an index: %w", err)
	}
	subjects := []Resource{resource("index", whole)}
	digests := []v1.Hash{whole}
	of := map[string]v1.Hash{}
	for _, img := range images {
		digest, err := img.Image.Digest()
		if err != nil {
			return nil, fmt.Errorf("attest the image of %s: %w", img.Platform, err)
		}
		key := registry.Key(img.Platform)
		subjects = append(subjects, resource(key, digest))
		digests = append(digests, digest)
		of[key] = digest
	}

	// The statements, and what each is attached to.
	type signed struct {
		predicate string
		statement []byte
		subjects  []v1.Hash
		bundle    []byte
	}
	var all []*signed
	var list []registry.Attachment
	add := func(doc registry.Document, subjects ...v1.Hash) error {
		for _, subject := range subjects {
			a, err := registry.Attach(idx, subject, doc)
			if err != nil {
				return err
			}
			list = append(list, a)
		}
		return nil
	}
	// The order does not depend on that of the files' making.
	documents := slices.Clone(r.Documents)
	slices.SortFunc(documents, func(a, b Document) int {
		return cmp.Or(cmp.Compare(a.Platform, b.Platform), cmp.Compare(a.Name, b.Name))
	})
	r.Provenance.Details.Others = nil
	for _, d := range documents {
		digest, err := digestOf(d.Data)
		if err != nil {
			return nil, fmt.Errorf("attach %s: %w", d.Name, err)
		}
		other := resource(d.Name, digest)
		other.MediaType = d.Type
		r.Provenance.Details.Others = append(r.Provenance.Details.Others, other)

		annotations := map[string]string{registry.TitleLabel: d.Name}
		on := digests
		if d.Platform != "" {
			digest, ok := of[d.Platform]
			if !ok {
				return nil, fmt.Errorf("attach %s: the index has no image for %s", d.Name, d.Platform)
			}
			annotations[platformAnnotation] = d.Platform
			on = []v1.Hash{whole, digest}
		}
		if err := add(registry.Document{ArtifactType: d.Type, MediaType: d.Type, Data: d.Data, Annotations: annotations}, on...); err != nil {
			return nil, err
		}
		// Others look for the lists of packages among what is signed.
		if predicate := predicateOf(d.Type); predicate != "" && r.Signer != nil {
			about := subjects
			if d.Platform != "" {
				about = []Resource{subjects[0], resource(d.Platform, of[d.Platform])}
			}
			text, err := newStatement(predicate, json.RawMessage(d.Data), about...)
			if err != nil {
				return nil, fmt.Errorf("attach %s: %w", d.Name, err)
			}
			if l, ok := r.Signer.(Limited); ok && len(text) > l.Limit() {
				continue // the provenance, which is signed, names it by digest
			}
			all = append(all, &signed{predicate: predicate, statement: text, subjects: on})
		}
	}

	provenance, err := newStatement(provenancePredicate, r.Provenance, subjects...)
	if err != nil {
		return nil, err
	}
	if r.Signer == nil {
		return list, add(registry.Document{
			ArtifactType: statementType, MediaType: statementType, Data: provenance,
			Annotations: map[string]string{statementAnnotation: provenancePredicate, registry.TitleLabel: "provenance.json"},
		}, digests...)
	}
	all = append(all, &signed{predicate: provenancePredicate, statement: provenance, subjects: digests})
	for _, digest := range digests {
		// As cosign words it: the subject has no name.
		text, err := newStatement(signPredicate, struct{}{}, resource("", digest))
		if err != nil {
			return nil, err
		}
		all = append(all, &signed{predicate: signPredicate, statement: text, subjects: []v1.Hash{digest}})
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, s := range all {
		g.Go(func() (err error) {
			s.bundle, err = r.Signer.Sign(gctx, s.statement)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for _, s := range all {
		if err := add(registry.Document{
			ArtifactType: bundleType, MediaType: bundleType, Data: s.bundle,
			Annotations: map[string]string{contentAnnotation: "dsse-envelope", predicateAnnotation: s.predicate},
		}, s.subjects...); err != nil {
			return nil, err
		}
	}
	if key, ok := r.Signer.(*Key); ok {
		for _, digest := range digests {
			img, err := key.signSimply(digest, r.Repositories)
			if err != nil {
				return nil, err
			}
			list = append(list, registry.Attachment{Subject: digest, Image: img, Tag: simpleTag(digest)})
		}
	}
	return list, nil
}
