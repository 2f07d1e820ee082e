package attest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/report"
)

// ReportType is the media type of report.json.
const ReportType = "application/vnd.linuxserver.ci-report.v1+json"

// Annotations of attachments.
const (
	platformAnnotation = "org.linuxserver.platform"
	// The first two are set on bundles, as cosign does, the last on unsigned statements.
	contentAnnotation   = "dev.sigstore.bundle.content"
	predicateAnnotation = "dev.sigstore.bundle.predicateType"
	statementAnnotation = "in-toto.io/predicate-type"
)

// Release is everything that is attached to an index.
type Release struct {
	Provenance Provenance // its Others are set here
	// Documents are identified by their types: sbom.SPDXType, sbom.CycloneDXType or
	// ReportType. A document without a platform describes all images. Their order is
	// that of a report, whichever was created first.
	Documents []report.Document
	// Repositories are those that the index is published in, each REGISTRY/NAME.
	Repositories []string
	// Signer may be nil: then nothing is signed.
	Signer Signer
}

// Attach creates the attachments of an index and its images. A document of one
// platform is attached to that platform's image and to the index; any other
// document is attached to all of them, and so is the provenance, which names the
// documents by digest. Lists of packages are also attached as signed statements,
// unless they exceed the signer's limit. The index and each image are signed.
func (r Release) Attach(ctx context.Context, idx v1.ImageIndex) ([]registry.Attachment, error) {
	images, err := registry.Images(idx)
	if err != nil {
		return nil, err
	}
	indexDigest, err := idx.Digest()
	if err != nil {
		return nil, fmt.Errorf("attest an index: %w", err)
	}
	parts := []namedDigest{{"index", indexDigest}}
	for _, img := range images {
		parts = append(parts, namedDigest{registry.Key(img.Platform), img.Digest})
	}

	var list []registry.Attachment
	add := func(doc registry.Document, on ...namedDigest) error {
		for _, subject := range on {
			a, err := registry.Attach(idx, subject.digest, doc)
			if err != nil {
				return err
			}
			list = append(list, a)
		}
		return nil
	}
	sign := func(predicate string, content any, on ...namedDigest) error {
		text, err := newStatement(predicate, content, on...)
		if err != nil {
			return err
		}
		if r.Signer == nil {
			return add(registry.Document{
				Type: statementType, Data: text,
				Annotations: map[string]string{statementAnnotation: predicate, registry.TitleLabel: "provenance.json"},
			}, on...)
		}
		if l, ok := r.Signer.(Limited); ok && predicate != provenancePredicate && len(text) > l.Limit() {
			return nil // the provenance, which is signed, names it by digest
		}
		bundle, err := r.Signer.Sign(ctx, text)
		if err != nil {
			return err
		}
		return add(registry.Document{
			Type: bundleType, Data: bundle,
			Annotations: map[string]string{contentAnnotation: "dsse-envelope", predicateAnnotation: predicate},
		}, on...)
	}

	r.Provenance.Details.Byproducts = nil
	for _, d := range r.Documents {
		other := resource(d.Name, digestOf(d.Text))
		other.MediaType = d.Type
		r.Provenance.Details.Byproducts = append(r.Provenance.Details.Byproducts, other)

		annotations := map[string]string{registry.TitleLabel: d.Name}
		on := parts
		if d.Platform != "" {
			i := slices.IndexFunc(parts, func(p namedDigest) bool { return p.name == d.Platform })
			if i < 0 {
				return nil, fmt.Errorf("attach %s: the index has no image for %s", d.Name, d.Platform)
			}
			annotations[platformAnnotation] = d.Platform
			on = []namedDigest{parts[0], parts[i]}
		}
		err := add(registry.Document{Type: d.Type, Data: d.Text, Annotations: annotations}, on...)
		// Other tools look for lists of packages among the signed statements.
		if predicate := predicates[d.Type]; err == nil && predicate != "" && r.Signer != nil {
			err = sign(predicate, json.RawMessage(d.Text), on...)
		}
		if err != nil {
			return nil, fmt.Errorf("attach %s: %w", d.Name, err)
		}
	}

	if err := sign(provenancePredicate, r.Provenance, parts...); err != nil || r.Signer == nil {
		return list, err
	}
	key, isKey := r.Signer.(*Key)
	for _, p := range parts {
		// The subject has no name, as in statements by cosign.
		if err := sign(signPredicate, struct{}{}, namedDigest{"", p.digest}); err != nil {
			return nil, err
		}
		if isKey {
			img, err := key.signSimple(p.digest, r.Repositories)
			if err != nil {
				return nil, err
			}
			list = append(list, registry.Attachment{Subject: p.digest, Image: img, Tag: simpleTag(p.digest)})
		}
	}
	return list, nil
}
