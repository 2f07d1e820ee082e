package attest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// subject is the index or an image, with its attachments.
type subject struct {
	name             string // "index" or registry.Key
	digest           v1.Hash
	image            v1.Image       // nil for the index
	config           *v1.ConfigFile // of the image, nil when unreadable
	statements       []signed
	documents        []report.Document // lists of packages, and the report
	others           []string          // types of attachments that are not checked
	simpleSignatures int               // number of simple signatures
	simpleOurs       bool              // one of these is by the required key
}

// collect reads all attachments.
func (v *verification) collect(ctx context.Context) error {
	for _, s := range v.subjects {
		referrers, err := v.at.Referrers(s.digest)
		if err != nil {
			return fmt.Errorf("verify %s: ask what is attached to %s: %w", v.result.Reference, s.name, err)
		}
		for _, d := range referrers {
			if err := ctx.Err(); err != nil {
				return err
			}
			if what, err := v.readAttachment(ctx, s, d.Digest); err != nil {
				v.add(Wrong, s.name, what, "%s: %v", d.Digest, err)
			}
		}
		tagged, err := v.at.ByTag(simpleTag(s.digest))
		if err != nil {
			return fmt.Errorf("verify %s: ask for the signatures of %s: %w", v.result.Reference, s.name, err)
		}
		if tagged == nil {
			continue
		}
		if s.simpleSignatures, s.simpleOurs, err = readSimple(ctx, tagged, s.digest, v.policy.Signer); err != nil {
			v.add(Wrong, s.name, whatSignature, "%s: %v", simpleTag(s.digest), err)
		}
	}
	return nil
}

// attachmentKinds maps media types of attachments and predicate types of bundles to what
// they contain.
var attachmentKinds = map[string]string{
	sbom.SPDXType: whatPackages, sbom.CycloneDXType: whatPackages, ReportType: whatReport,
	statementType: whatProvenance, bundleType: whatSignature,
	provenancePredicate: whatProvenance, spdxPredicate: whatPackages, cycloneDXPredicate: whatPackages,
}

// readAttachment reads one attachment. The error describes what is wrong with it.
func (v *verification) readAttachment(ctx context.Context, s *subject, digest v1.Hash) (what string, err error) {
	var manifest *v1.Manifest
	img, err := v.at.ByDigest(digest)
	if err == nil {
		manifest, err = img.Manifest()
	}
	if err != nil {
		return whatOthers, fmt.Errorf("what is attached cannot be read: %w", err)
	}
	kind := registry.ArtifactType(manifest)
	what, ok := attachmentKinds[kind]
	if !ok || strings.Contains(kind, "://") { // a predicate type is valid only in a bundle
		s.others = append(s.others, kind)
		return "", nil
	}
	if kind == bundleType {
		what = cmp.Or(attachmentKinds[manifest.Annotations[predicateAnnotation]], what)
	}
	if manifest.Subject == nil || manifest.Subject.Digest != s.digest {
		return what, errors.New("it is listed here, but attached to something else")
	}
	if len(manifest.Layers) != 1 {
		return what, fmt.Errorf("it holds %d documents, not one", len(manifest.Layers))
	}
	text, err := registry.ReadBlob(ctx, img, manifest.Layers[0])
	if err == nil {
		err = registry.CopyBlob(ctx, img, manifest.Config, io.Discard)
	}
	if err != nil {
		return what, err
	}
	if kind != bundleType && kind != statementType {
		s.documents = append(s.documents, report.Document{Name: manifest.Annotations[registry.TitleLabel], Type: kind, Text: text})
		return what, nil
	}
	found, err := readStatement(kind, text)
	switch {
	case err != nil:
		return what, err
	case kind == bundleType && !found.about(s.digest):
		return what, fmt.Errorf("what is signed is of something else: %s", names(found.Subject))
	case !found.about(s.digest):
		return what, fmt.Errorf("it is of something else: %s", names(found.Subject))
	case kind == statementType && found.PredicateType != provenancePredicate:
		s.others = append(s.others, found.PredicateType)
		return what, nil
	}
	if v.policy.Signer != nil {
		found.err = v.policy.Signer.verify(ctx, found, s.digest)
	}
	s.statements = append(s.statements, found)
	if errors.Is(found.err, errOtherSigner) {
		return what, nil
	}
	return what, found.err
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

// findSubjects sets the subjects: the index and its images, or the one image.
func (v *verification) findSubjects() {
	defer func() { v.subjects = append(v.subjects, v.images...) }()
	if v.at.Index == nil {
		img := &subject{digest: v.at.Digest, image: v.at.Image, name: "image"}
		if config, err := img.image.ConfigFile(); err == nil {
			img.config, img.name = config, config.OS+"/"+config.Architecture
		}
		v.images = []*subject{img}
		return
	}
	v.subjects = []*subject{{name: "index", digest: v.at.Digest}}
	manifest, err := v.at.Index.IndexManifest()
	if err != nil {
		v.add(Wrong, "index", whatIndex, "it cannot be read: %v", err)
		return
	}
	v.annotations = manifest.Annotations
	var names []string
	for _, d := range manifest.Manifests {
		if !d.MediaType.IsImage() || d.Platform == nil || d.Platform.OS == "" || d.Platform.Architecture == "" || d.Platform.OS == "unknown" {
			v.add(Wrong, "index", whatIndex, "its entry %s (%s) is not the image of a platform", d.Digest, d.Platform)
			continue
		}
		img := &subject{name: registry.Key(*d.Platform), digest: d.Digest}
		if slices.Contains(names, img.name) {
			v.add(Wrong, img.name, whatIndex, "the index has two images for it")
			continue
		}
		names = append(names, img.name)
		if img.image, err = registry.ImageIn(v.at.Index, d.Digest); err != nil {
			v.add(Wrong, img.name, whatImage, "%s cannot be read: %v", d.Digest, err)
			continue
		}
		if img.config, err = img.image.ConfigFile(); err == nil {
			if p := img.config.Platform(); p == nil || !p.Equals(*d.Platform) {
				v.add(Wrong, img.name, whatImage, "it says that it is for %s", p)
			}
		}
		v.images = append(v.images, img)
	}
	for _, name := range v.policy.Platforms {
		if !slices.Contains(names, name) {
			v.add(Missing, name, whatIndex, "the index has no image for it")
		}
	}
	if !slices.ContainsFunc(v.result.Lines, func(l Line) bool { return l.What == whatIndex }) {
		v.add(Proven, "index", whatIndex, "it has an image for %s, and nothing else", strings.Join(names, " and for "))
	}
}

// checkImage reads the image's manifest, configuration and layers, and checks their
// digests.
func (v *verification) checkImage(ctx context.Context, img *subject) {
	layers, size, err := registry.CheckImage(ctx, img.image)
	if err != nil {
		v.add(Wrong, img.name, whatImage, "%v", err)
		return
	}
	v.add(Proven, img.name, whatImage, "%s: its manifest, configuration and %d layers (%.1f MB) are what their digests say",
		img.digest, layers, float64(size)/1e6)
}

// label returns a label of the images, "" when none is readable.
func (v *verification) label(name string) string {
	for _, img := range v.images {
		if img.config != nil {
			return img.config.Config.Labels[name]
		}
	}
	return ""
}

func (v *verification) checkLabels() {
	if len(v.images) == 0 {
		return
	}
	of, before := v.subjects[0].name, len(v.result.Lines)
	for _, label := range []string{registry.VersionLabel, registry.RevisionLabel, registry.SourceLabel} {
		first := v.label(label)
		for _, img := range v.images {
			if img.config == nil {
				continue
			}
			if got := img.config.Config.Labels[label]; got != first {
				v.add(Wrong, img.name, whatLabels, "%s is %q, but %q in %s", label, got, first, v.images[0].name)
			}
		}
		if got, ok := v.annotations[label]; ok && got != first {
			v.add(Wrong, of, whatLabels, "%s is %q, but %q in the images", label, got, first)
		}
	}
	switch {
	case len(v.result.Lines) > before:
	case v.label(registry.VersionLabel) == "" || v.label(registry.RevisionLabel) == "":
		v.add(Unproven, of, whatLabels, "the images do not say which version and commit they are of")
	default:
		base := ""
		if v.annotations[registry.BaseNameLabel] != "" {
			base = ", base " + v.annotations[registry.BaseNameLabel]
		}
		v.add(Proven, of, whatLabels, "everything says version %s, commit %s%s", v.label(registry.VersionLabel), v.label(registry.RevisionLabel), base)
	}
}
