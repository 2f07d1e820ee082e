package attest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// subject is the index or an image, with what is attached to it.
type subject struct {
	name       string // "index" or registry.Key
	digest     v1.Hash
	image      v1.Image       // nil for the index
	config     *v1.ConfigFile // of the image, nil when it cannot be read
	statements []signed
	simple     []simply
	documents  []document
	others     []string // types
}

// signed is an in-toto statement.
type signed struct {
	signer string // as it says itself, or nobody
	statement
	payload v1.Hash
	err     error // nil when the demanded signer has signed it
}

// document is a list of packages or a report.
type document struct {
	title  string
	kind   string
	digest v1.Hash
	data   []byte
}

// collect reads all that is attached.
func (v *verification) collect(ctx context.Context) error {
	if v.at.Index != nil {
		v.subjects = append(v.subjects, &subject{name: "index", digest: v.at.Digest})
	}
	v.subjects = append(v.subjects, v.images...)
	for _, s := range v.subjects {
		referrers, err := v.at.Referrers(s.digest)
		if err != nil {
			return fmt.Errorf("verify %s: ask what is attached to %s: %w", v.result.Reference, s.name, err)
		}
		for _, d := range referrers {
			if err := ctx.Err(); err != nil {
				return err
			}
			v.take(ctx, s, d)
		}
		tagged, err := v.at.ByTag(simpleTag(s.digest))
		if err != nil {
			return fmt.Errorf("verify %s: ask for the signatures of %s: %w", v.result.Reference, s.name, err)
		}
		if tagged == nil {
			continue
		}
		if s.simple, err = readSimple(ctx, tagged, s.digest); err != nil {
			v.add(Wrong, s.name, whatSignature, "%s: %v", simpleTag(s.digest), err)
		}
	}
	return nil
}

// contents are what attachments are, by their types and by the predicates of
// bundles.
var contents = map[string]string{
	sbom.SPDXType: whatPackages, sbom.CycloneDXType: whatPackages, ReportType: whatReport,
	statementType: whatProvenance, bundleType: whatSignature,
	provenancePredicate: whatProvenance, spdxPredicate: whatPackages, cycloneDXPredicate: whatPackages,
}

// take reads one attachment.
func (v *verification) take(ctx context.Context, s *subject, d v1.Descriptor) {
	var manifest *v1.Manifest
	img, err := v.at.ByDigest(d.Digest)
	if err == nil {
		manifest, err = img.Manifest()
	}
	if err != nil {
		v.add(Wrong, s.name, whatOthers, "%s: what is attached cannot be read: %v", d.Digest, err)
		return
	}
	kind := registry.ArtifactType(manifest)
	what, ok := contents[kind]
	if !ok || strings.Contains(kind, "://") { // only a bundle names what it is by a predicate
		s.others = append(s.others, kind)
		return
	}
	if kind == bundleType {
		what = cmp.Or(contents[manifest.Annotations[predicateAnnotation]], what)
	}
	if err := v.read(ctx, s, kind, img, manifest); err != nil {
		v.add(Wrong, s.name, what, "%s: %v", d.Digest, err)
	}
}

// read reads what is in an attachment. The error is what is wrong with it.
func (v *verification) read(ctx context.Context, s *subject, kind string, img v1.Image, manifest *v1.Manifest) error {
	if manifest.Subject == nil || manifest.Subject.Digest != s.digest {
		return errors.New("it is listed here, but attached to something else")
	}
	if len(manifest.Layers) != 1 {
		return fmt.Errorf("it holds %d documents, not one", len(manifest.Layers))
	}
	text, err := registry.ReadBlob(ctx, img, manifest.Layers[0])
	if err == nil {
		err = registry.CopyBlob(ctx, img, manifest.Config, io.Discard)
	}
	if err != nil {
		return err
	}
	found := signed{signer: "nobody", payload: manifest.Layers[0].Digest, err: errOtherSigner}
	switch kind {
	case bundleType:
		b, statement, err := readBundle(text)
		if err != nil {
			return err
		}
		if !statement.about(s.digest) {
			return fmt.Errorf("what is signed is of something else: %s", names(statement.Subject))
		}
		found.signer, found.statement = b.VerificationMaterial.signer(), statement
		found.payload = digestOf(b.DSSEEnvelope.Payload)
		if v.demand.Signer != nil {
			found.err = v.demand.Signer.Verify(ctx, text, s.digest)
		}
	case statementType:
		if err := json.Unmarshal(text, &found.statement); err != nil {
			return fmt.Errorf("it is damaged: %w", err)
		}
		if !found.about(s.digest) {
			return fmt.Errorf("it is of something else: %s", names(found.Subject))
		}
		if found.PredicateType != provenancePredicate {
			s.others = append(s.others, found.PredicateType)
			return nil
		}
	default:
		s.documents = append(s.documents, document{manifest.Annotations[registry.TitleLabel], kind, manifest.Layers[0].Digest, text})
		return nil
	}
	s.statements = append(s.statements, found)
	if errors.Is(found.err, errOtherSigner) {
		return nil
	}
	return found.err
}

// names lists resources, each with its name and digests.
func names(list []Resource) string {
	var parts []string
	for _, r := range list {
		part := r.Name
		for _, algorithm := range slices.Sorted(maps.Keys(r.Digest)) {
			part += " " + algorithm + ":" + r.Digest[algorithm]
		}
		parts = append(parts, strings.TrimSpace(part))
	}
	return strings.Join(parts, ", ")
}
