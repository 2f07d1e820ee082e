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

func (v *verification) findImages() {
	if v.at.Index == nil {
		img := &subject{digest: v.at.Digest, image: v.at.Image, name: "image"}
		if config, err := img.image.ConfigFile(); err == nil {
			img.config, img.name = config, config.OS+"/"+config.Architecture
		}
		v.images = []*subject{img}
		return
	}
	manifest, err := v.at.Index.IndexManifest()
	if err != nil {
		v.add(Wrong, "index", whatIndex, "it cannot be read: %v", err)
		return
	}
	v.annotations = manifest.Annotations
	var names []string
	good := true
	for _, d := range manifest.Manifests {
		if !d.MediaType.IsImage() || d.Platform == nil || d.Platform.OS == "" || d.Platform.Architecture == "" || d.Platform.OS == "unknown" {
			good = false
			v.add(Wrong, "index", whatIndex, "its entry %s (%s) is not the image of a platform", d.Digest, d.Platform)
			continue
		}
		img := &subject{name: registry.Key(*d.Platform), digest: d.Digest}
		if slices.Contains(names, img.name) {
			good = false
			v.add(Wrong, img.name, whatIndex, "the index has two images for it")
			continue
		}
		names = append(names, img.name)
		if img.image, err = v.at.Index.Image(d.Digest); err != nil {
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
	for _, name := range v.demand.Platforms {
		if !slices.Contains(names, name) {
			good = false
			v.add(Missing, name, whatIndex, "the index has no image for it")
		}
	}
	if good {
		v.add(Proven, "index", whatIndex, "it has an image for %s, and nothing else", strings.Join(names, " and for "))
	}
}

// checkImages reads everything under the images.
func (v *verification) checkImages(ctx context.Context) {
	for _, img := range v.images {
		var layers int
		var size int64
		got, err := img.image.Digest()
		if err == nil && got != img.digest {
			err = fmt.Errorf("its manifest is %s, not %s", got, img.digest)
		}
		if err == nil {
			layers, size, err = registry.CheckImage(ctx, img.image)
		}
		if err != nil {
			v.add(Wrong, img.name, whatImage, "%v", err)
			continue
		}
		v.add(Proven, img.name, whatImage, "%s: its manifest, configuration and %d layers (%.1f MB) are what their digests say",
			img.digest, layers, float64(size)/1e6)
	}
}

// label is what the images say, "" when none could be read.
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
	of := "index"
	if v.at.Index == nil {
		of = v.images[0].name
	}
	before := len(v.result.Lines)
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
