package attest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/linuxserver/docker-netbox/pipeline/contents"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

// Demand is what Verify insists on. What is there must be right in any case.
type Demand struct {
	Platforms []string // registry.Key of each image that an index must have
	Require   []string // of Demandable
	// Signer, unless nil, must have signed the index and each image; then only
	// provenance that is signed by it is believed.
	Signer Verifier
}

// Verify checks an index, or one image, and all that is attached to it. The
// error is one of the reading itself; what was found wrong is in the Result.
func Verify(ctx context.Context, reference string, at registry.Opened, demand Demand) (Result, error) {
	v := &verification{ctx: ctx, at: at, demand: demand, result: Result{Reference: reference, Digest: at.Digest.String()}}
	v.findImages()
	v.checkImages()
	v.checkLabels()
	if err := v.collect(); err != nil {
		return v.result, err
	}
	v.checkSignatures()
	v.checkProvenance()
	v.checkPackages()
	v.checkReports()
	v.tellOthers()
	v.result.Passed = v.result.Err() == nil
	return v.result, ctx.Err()
}

type verification struct {
	ctx    context.Context
	at     registry.Opened
	demand Demand
	result Result

	annotations map[string]string // of the index

	images   []*platformImage
	subjects []*subject // the index, when there is one, and the images
	// believed are the provenances that count, by the digest of their text.
	believed map[v1.Hash]believed
}

// platformImage is one image of the index.
type platformImage struct {
	name   string // registry.Key
	digest v1.Hash
	image  v1.Image
	config *v1.ConfigFile // nil when it cannot be read
}

// add notes what came of a check. What registries send may hold anything: it
// is told without what a terminal would obey.
func (v *verification) add(verdict Verdict, of, what, format string, args ...any) {
	text := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, fmt.Sprintf(format, args...))
	v.result.Lines = append(v.result.Lines, Line{verdict, of, what, text})
}

// absent notes that something is not there.
func (v *verification) absent(of, what, format string, args ...any) {
	verdict := Unproven
	if slices.Contains(v.demand.Require, what) || what == whatSignature && v.demand.Signer != nil {
		verdict = Missing
	}
	v.add(verdict, of, what, format, args...)
}

// checked is the verdict on what agrees with a provenance: it is proven when
// the demanded signer vouches for that.
func (v *verification) checked() (verdict Verdict, but string) {
	if v.demand.Signer == nil {
		return Unproven, "; nobody was asked to vouch for it (--key or --identity)"
	}
	return Proven, ""
}

func (v *verification) findImages() {
	if v.at.Index == nil {
		img := &platformImage{digest: v.at.Digest, image: v.at.Image, name: "image"}
		if config, err := img.image.ConfigFile(); err == nil {
			img.config, img.name = config, config.OS+"/"+config.Architecture
		}
		v.images = []*platformImage{img}
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
		img := &platformImage{name: registry.Key(*d.Platform), digest: d.Digest}
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
func (v *verification) checkImages() {
	var g errgroup.Group
	g.SetLimit(4)
	type read struct {
		blobs int
		bytes int64
		errs  []error
	}
	found := make([]read, len(v.images))
	for i, img := range v.images {
		manifest, err := img.image.Manifest()
		if err != nil {
			found[i].errs = []error{err}
			continue
		}
		if got, err := img.image.Digest(); err != nil || got != img.digest {
			found[i].errs = []error{fmt.Errorf("its manifest is %s, not %s (%v)", got, img.digest, err)}
			continue
		}
		blobs := append(slices.Clone(manifest.Layers), manifest.Config)
		found[i].errs = make([]error, len(blobs))
		for j, b := range blobs {
			found[i].blobs++
			found[i].bytes += b.Size
			g.Go(func() error {
				if b.Digest == manifest.Config.Digest {
					found[i].errs[j] = sameConfig(img.image, b)
					return nil
				}
				found[i].errs[j] = sameLayer(v.ctx, img.image, b)
				return nil
			})
		}
	}
	_ = g.Wait() // the errors are in found
	for i, img := range v.images {
		if err := errors.Join(found[i].errs...); err != nil {
			v.add(Wrong, img.name, whatImage, "%v", err)
			continue
		}
		v.add(Proven, img.name, whatImage, "%s: its manifest, configuration and %d layers (%.1f MB) are what their digests say",
			img.digest, found[i].blobs-1, float64(found[i].bytes)/1e6)
	}
}

func sameLayer(ctx context.Context, img v1.Image, d v1.Descriptor) error {
	layer, err := img.LayerByDigest(d.Digest)
	if err != nil {
		return fmt.Errorf("layer %s cannot be read: %w", d.Digest, err)
	}
	rc, err := layer.Compressed()
	if err != nil {
		return fmt.Errorf("layer %s cannot be read: %w", d.Digest, err)
	}
	defer rc.Close()
	stop := context.AfterFunc(ctx, func() { rc.Close() })
	defer stop()
	return sameDigest(rc, d)
}

func sameConfig(img v1.Image, d v1.Descriptor) error {
	raw, err := img.RawConfigFile()
	if err != nil {
		return fmt.Errorf("configuration %s cannot be read: %w", d.Digest, err)
	}
	return sameDigest(bytes.NewReader(raw), d)
}

func sameDigest(r io.Reader, d v1.Descriptor) error {
	got, n, err := v1.SHA256(r)
	if err != nil {
		return fmt.Errorf("blob %s cannot be read: %w", d.Digest, err)
	}
	if got != d.Digest || n != d.Size {
		return fmt.Errorf("blob %s is damaged: it has %d bytes with digest %s", d.Digest, n, got)
	}
	return nil
}

// Labels that the images of one index must agree on.
const (
	versionLabel  = "org.opencontainers.image.version"
	revisionLabel = "org.opencontainers.image.revision"
	sourceLabel   = "org.opencontainers.image.source"
	baseName      = "org.opencontainers.image.base.name" // of the index
)

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
	good := true
	for _, label := range []string{versionLabel, revisionLabel, sourceLabel} {
		first := v.label(label)
		for _, img := range v.images {
			if img.config == nil {
				continue
			}
			if got := img.config.Config.Labels[label]; got != first {
				good = false
				v.add(Wrong, img.name, whatLabels, "%s is %q, but %q in %s", label, got, first, v.images[0].name)
			}
		}
		if got, ok := v.annotations[label]; ok && got != first {
			good = false
			v.add(Wrong, of, whatLabels, "%s is %q, but %q in the images", label, got, first)
		}
	}
	switch {
	case !good:
	case v.label(versionLabel) == "" || v.label(revisionLabel) == "":
		v.add(Unproven, of, whatLabels, "the images do not say which version and commit they are of")
	default:
		base := ""
		if v.annotations[baseName] != "" {
			base = ", base " + v.annotations[baseName]
		}
		v.add(Proven, of, whatLabels, "everything says version %s, commit %s%s", v.label(versionLabel), v.label(revisionLabel), base)
	}
}

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
func (v *verification) collect() error {
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
			if err := v.ctx.Err(); err != nil {
				return err
			}
			v.take(s, d)
		}
		tagged, err := v.at.ByTag(simpleTag(s.digest))
		if err != nil {
			return fmt.Errorf("verify %s: ask for the signatures of %s: %w", v.result.Reference, s.name, err)
		}
		if tagged == nil {
			continue
		}
		if s.simple, err = readSimple(tagged, s.digest); err != nil {
			v.add(Wrong, s.name, whatSignature, "%s: %v", simpleTag(s.digest), err)
		}
	}
	return nil
}

// take reads one attachment.
func (v *verification) take(s *subject, d v1.Descriptor) {
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
	// A registry of OCI 1.0 has the type where its manifests have one.
	kind := cmp.Or(manifest.ArtifactType, string(manifest.Config.MediaType))
	switch kind {
	case contents.SPDXType, contents.CycloneDXType:
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
	text, err := readLayer(img, manifest.Layers[0])
	if err == nil {
		err = sameConfig(img, manifest.Config)
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
			found.err = v.demand.Signer.Verify(v.ctx, text, s.digest)
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
			title: manifest.Annotations[titleAnnotation], kind: kind, platform: manifest.Annotations[platformAnnotation],
			digest: manifest.Layers[0].Digest, data: text,
		})
	}
}

// names tells resources by their names and digests.
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

func (v *verification) checkSignatures() {
	for _, s := range v.subjects {
		var forms, others []string
		for _, b := range s.bundles {
			switch {
			case b.PredicateType != signPredicate:
			case b.err == nil:
				forms = append(forms, "sigstore bundle")
			default:
				others = append(others, b.signer)
			}
		}
		good, bad := v.simply(s)
		if good > 0 {
			forms = append(forms, "simple signing")
		}
		forms = compact(forms)
		others = compact(others)
		switch {
		case v.demand.Signer == nil && len(others) == 0 && len(s.simple) == 0:
			v.absent(s.name, whatSignature, "nobody signed it")
		case v.demand.Signer == nil && len(others) == 0:
			v.add(Unproven, s.name, whatSignature, "it is signed by a key that was not asked for (--key)")
		case v.demand.Signer == nil:
			v.add(Unproven, s.name, whatSignature, "it is signed by %s, who was not asked for (--key or --identity)", strings.Join(others, " and "))
		case len(forms) == 0 && len(others) > 0:
			v.absent(s.name, whatSignature, "it is not signed by %s, but by %s", v.demand.Signer, strings.Join(others, " and "))
		case len(forms) == 0:
			v.absent(s.name, whatSignature, "it is not signed by %s", v.demand.Signer)
		default:
			v.add(Proven, s.name, whatSignature, "it is signed by %s (%s)", v.demand.Signer, strings.Join(forms, ", "))
			if len(others) > 0 {
				v.add(Unproven, s.name, whatSignature, "it is also signed by %s", strings.Join(others, " and "))
			}
		}
		// A key signs in both forms: one that fits nothing was tampered with.
		if bad > 0 && good == 0 {
			v.add(Wrong, s.name, whatSignature, "%s: %d signatures, none by %s", simpleTag(s.digest), bad, v.demand.Signer)
		}
	}
}

// simply counts the signatures of the older form by whether they are the
// demanded key's. They are nobody's when no key was demanded.
func (v *verification) simply(s *subject) (good, bad int) {
	key, ok := v.demand.Signer.(PublicKey)
	if !ok {
		return 0, 0
	}
	for _, each := range s.simple {
		if key.verifies(each.payload, each.signature) {
			good++
		} else {
			bad++
		}
	}
	return good, bad
}

func compact(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

// believed is a provenance that counts.
type believed struct {
	Provenance
	statement
}

func (v *verification) checkProvenance() {
	v.believed = map[v1.Hash]believed{}
	for _, s := range v.subjects {
		found := map[v1.Hash]statement{}
		var others []string
		for _, b := range s.bundles {
			switch {
			case b.PredicateType != provenancePredicate:
			case v.demand.Signer != nil && b.err != nil:
				others = append(others, b.signer)
			default:
				found[b.payload] = b.statement
			}
		}
		for _, u := range s.statements {
			switch {
			case u.PredicateType != provenancePredicate:
			case v.demand.Signer != nil:
				others = append(others, "nobody")
			default:
				found[u.payload] = u.statement
			}
		}
		switch {
		case len(found) == 0 && len(others) > 0:
			v.absent(s.name, whatProvenance, "there is none that %s has signed, only by %s", v.demand.Signer, strings.Join(compact(others), " and "))
		case len(found) == 0:
			v.absent(s.name, whatProvenance, "none is attached")
		}
		for _, payload := range slices.SortedFunc(maps.Keys(found), func(a, b v1.Hash) int { return strings.Compare(a.Hex, b.Hex) }) {
			v.checkOneProvenance(s, payload, found[payload])
		}
	}
}

func (v *verification) checkOneProvenance(s *subject, payload v1.Hash, of statement) {
	verdict, but := v.checked()
	if _, known := v.believed[payload]; known {
		v.add(verdict, s.name, whatProvenance, "the same as above%s", but)
		return
	}
	var p Provenance
	if err := json.Unmarshal(of.Predicate, &p); err != nil {
		v.add(Wrong, s.name, whatProvenance, "it is damaged: %v", err)
		return
	}
	v.believed[payload] = believed{p, of}
	d := p.Definition
	var problems []string
	for _, other := range v.subjects {
		if !of.about(other.digest) {
			problems = append(problems, fmt.Sprintf("it is not of %s (%s)", other.name, other.digest))
		}
	}
	if v.at.Index != nil {
		for _, r := range of.Subject {
			if !slices.ContainsFunc(v.subjects, func(s *subject) bool { return r.Digest[s.digest.Algorithm] == s.digest.Hex }) {
				problems = append(problems, fmt.Sprintf("it is of %s too, which the index does not have", names([]Resource{r})))
			}
		}
	}
	if want := v.label(revisionLabel); d.External.Revision != want {
		problems = append(problems, fmt.Sprintf("it says commit %q, the images %q", d.External.Revision, want))
	}
	if want := strings.TrimSuffix(v.label(revisionLabel), "-dirty"); p.commit() != want {
		problems = append(problems, fmt.Sprintf("its input is commit %q, the images are of %q", p.commit(), want))
	}
	if want := v.label(versionLabel); d.External.Version != want {
		problems = append(problems, fmt.Sprintf("it says version %q, the images %q", d.External.Version, want))
	}
	// The index names its base without the digest it had.
	if base, _, _ := strings.Cut(d.External.Base, "@"); v.annotations[baseName] != "" && base != v.annotations[baseName] {
		problems = append(problems, fmt.Sprintf("it says base %q, the index %q", base, v.annotations[baseName]))
	}
	if len(problems) > 0 {
		for _, problem := range problems {
			v.add(Wrong, s.name, whatProvenance, "%s", problem)
		}
		return
	}
	digests := 0
	for _, r := range d.Inputs {
		if len(r.Digest) > 0 {
			digests++
		}
	}
	v.add(verdict, s.name, whatProvenance, "%s built it from commit %s of %s: NetBox %s on %s, %d inputs by digest%s",
		p.Details.Builder.ID, d.External.Revision, d.External.Source, d.External.NetBox, d.External.Base, digests, but)
}

// vouched tells what the provenance says of a document.
func (v *verification) vouched(doc document) (verdict Verdict, but string) {
	if len(v.believed) == 0 {
		return Unproven, "; no provenance vouches for it"
	}
	for _, b := range v.believed {
		if b.lists(doc.digest) {
			return v.checked()
		}
	}
	return Wrong, "; the provenance does not name it, it was changed or attached by somebody else"
}

func (v *verification) tellOthers() {
	for _, s := range v.subjects {
		for _, b := range s.bundles {
			if b.PredicateType != signPredicate && b.PredicateType != provenancePredicate && !s.attached(b) {
				s.others = append(s.others, b.PredicateType)
			}
		}
		for _, u := range s.statements {
			if u.PredicateType != provenancePredicate {
				s.others = append(s.others, u.PredicateType)
			}
		}
		if len(s.others) > 0 {
			v.add(Unproven, s.name, whatOthers, "also attached, and not looked into: %s", strings.Join(compact(s.others), ", "))
		}
	}
}
