package attest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// subject is the index or an image, with what is attached to it.
type subject struct {
	name       string // "index" or the platform
	digest     v1.Hash
	bundles    []signed
	statements []unsigned
	simple     []simply
	documents  []document
	others     []string // types
}

// signed is a sigstore bundle.
type signed struct {
	signer string // as it says itself
	statement
	payload v1.Hash
	err     error // nil when the demanded signer has signed it
}

// unsigned is an in-toto statement that nobody signed.
type unsigned struct {
	statement
	payload v1.Hash
}

// document is a list of packages or a report.
type document struct {
	title    string
	kind     string
	platform string
	digest   v1.Hash
	data     []byte
}

// collect reads all that is attached.
func (v *verification) collect(ctx context.Context) error {
	if v.at.Index != nil {
		v.subjects = append(v.subjects, &subject{name: "index", digest: v.at.Digest})
	}
	for _, img := range v.images {
		v.subjects = append(v.subjects, &subject{name: img.name, digest: img.digest})
	}
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

// take reads one attachment.
func (v *verification) take(ctx context.Context, s *subject, d v1.Descriptor) {
	what := whatOthers
	wrong := func(format string, args ...any) {
		v.add(Wrong, s.name, what, "%s: %s", d.Digest, fmt.Sprintf(format, args...))
	}
	img, err := v.at.ByDigest(d.Digest)
	if err != nil {
		wrong("what is attached cannot be read: %v", err)
		return
	}
	manifest, err := img.Manifest()
	if err != nil {
		wrong("what is attached cannot be read: %v", err)
		return
	}
	kind := registry.ArtifactType(manifest)
	switch kind {
	case sbom.SPDXType, sbom.CycloneDXType:
		what = whatPackages
	case ReportType:
		what = whatReport
	case bundleType:
		what = whatSignature
		switch manifest.Annotations[predicateAnnotation] {
		case provenancePredicate:
			what = whatProvenance
		case spdxPredicate, cycloneDXPredicate:
			what = whatPackages
		}
	case statementType:
		what = whatProvenance
	default:
		s.others = append(s.others, kind)
		return
	}
	if manifest.Subject == nil || manifest.Subject.Digest != s.digest {
		wrong("it is listed here, but attached to something else")
		return
	}
	if len(manifest.Layers) != 1 {
		wrong("it holds %d documents, not one", len(manifest.Layers))
		return
	}
	text, err := registry.ReadBlob(ctx, img, manifest.Layers[0])
	if err == nil {
		err = registry.CheckBlob(ctx, img, manifest.Config)
	}
	if err != nil {
		wrong("%v", err)
		return
	}
	switch kind {
	case bundleType:
		b, statement, err := readBundle(text)
		if err != nil {
			wrong("%v", err)
			return
		}
		if !statement.about(s.digest) {
			wrong("what is signed is of something else: %s", names(statement.Subject))
			return
		}
		found := signed{signer: b.VerificationMaterial.signer(), statement: statement, err: errOtherSigner}
		if v.demand.Signer != nil {
			found.err = v.demand.Signer.Verify(ctx, text, s.digest)
		}
		if found.err != nil && !errors.Is(found.err, errOtherSigner) {
			wrong("%v", found.err)
		}
		found.payload, _ = digestOf(b.DSSEEnvelope.Payload)
		s.bundles = append(s.bundles, found)
	case statementType:
		var statement statement
		if err := decode(text, &statement); err != nil {
			wrong("it is damaged: %v", err)
			return
		}
		if !statement.about(s.digest) {
			wrong("it is of something else: %s", names(statement.Subject))
			return
		}
		s.statements = append(s.statements, unsigned{statement, manifest.Layers[0].Digest})
	default:
		s.documents = append(s.documents, document{
			title: manifest.Annotations[registry.TitleLabel], kind: kind, platform: manifest.Annotations[platformAnnotation],
			digest: manifest.Layers[0].Digest, data: text,
		})
	}
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
