package attest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/report"
)

// signed returns the statements of a predicate type, split into those that the
// required signer signed, or all when no signer is required, and the others.
func (s *subject) signed(predicate string) (ours, others []signed) {
	for _, each := range s.statements {
		switch {
		case each.PredicateType != predicate:
		case each.err == nil:
			ours = append(ours, each)
		default:
			others = append(others, each)
		}
	}
	return ours, others
}

// signers lists the claimed signers of statements.
func signers(list []signed) string {
	var names []string
	for _, each := range list {
		names = append(names, each.signer())
	}
	return strings.Join(compact(names), " and ")
}

func compact(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

func (v *verification) checkSignature(s *subject) {
	ours, others := s.signed(signPredicate)
	required, by := v.policy.Signer, signers(others)
	var forms []string
	if len(ours) > 0 {
		forms = append(forms, "sigstore bundle")
	}
	if s.simpleOurs {
		forms = append(forms, "simple signing")
	}
	switch {
	case required == nil && len(ours) > 0:
		v.add(Unproven, s.name, whatSignature, "it is signed by %s, who was not asked for (--key or --identity)", signers(ours))
	case required == nil && s.simpleSignatures > 0:
		v.add(Unproven, s.name, whatSignature, "it is signed by a key that was not asked for (--key)")
	case required == nil:
		v.absent(s.name, whatSignature, "nobody signed it")
	case len(forms) == 0 && by != "":
		v.absent(s.name, whatSignature, "it is not signed by %s, but by %s", required, by)
	case len(forms) == 0:
		v.absent(s.name, whatSignature, "it is not signed by %s", required)
	default:
		v.add(Proven, s.name, whatSignature, "it is signed by %s (%s)", required, strings.Join(forms, ", "))
		if by != "" {
			v.add(Unproven, s.name, whatSignature, "it is also signed by %s", by)
		}
	}
	// A key signs in both formats: a signature that does not match was tampered with.
	if _, key := required.(PublicKey); key && s.simpleSignatures > 0 && !s.simpleOurs {
		v.add(Wrong, s.name, whatSignature, "%s: %d signatures, none by %s", simpleTag(s.digest), s.simpleSignatures, required)
	}
}

func (v *verification) checkProvenance(s *subject) {
	ours, others := s.signed(provenancePredicate)
	for i, p := range ours {
		// Keyless signing adds another signature of the same text at each publishing.
		if !slices.ContainsFunc(ours[:i], func(o signed) bool { return bytes.Equal(o.DSSEEnvelope.Payload, p.DSSEEnvelope.Payload) }) {
			v.checkOneProvenance(s, p)
		}
	}
	switch {
	case len(ours) > 0:
	case len(others) > 0:
		v.absent(s.name, whatProvenance, "there is none that %s has signed, only by %s", v.policy.Signer, signers(others))
	default:
		v.absent(s.name, whatProvenance, "none is attached")
	}
}

func (v *verification) checkOneProvenance(s *subject, of signed) {
	verdict, but := v.trustVerdict()
	text := string(of.DSSEEnvelope.Payload)
	if _, known := v.trusted[text]; known {
		v.add(verdict, s.name, whatProvenance, "the same as above%s", but)
		return
	}
	var p Provenance
	if err := json.Unmarshal(of.Predicate, &p); err != nil {
		v.add(Wrong, s.name, whatProvenance, "it is damaged: %v", err)
		return
	}
	v.trusted[text] = p
	before := len(v.result.Lines)
	bad := func(format string, args ...any) { v.add(Wrong, s.name, whatProvenance, format, args...) }
	d := p.Definition
	for _, other := range v.subjects {
		if !of.about(other.digest) {
			bad("it is not of %s (%s)", other.name, other.digest)
		}
	}
	if v.at.Index != nil {
		for _, r := range of.Subject {
			if !slices.ContainsFunc(v.subjects, func(s *subject) bool { return r.Digest[s.digest.Algorithm] == s.digest.Hex }) {
				bad("it is of %s too, which the index does not have", names([]Resource{r}))
			}
		}
	}
	digests, source := 0, "" // number of inputs with a digest, and the commit
	for _, r := range d.Inputs {
		if len(r.Digest) > 0 {
			digests++
		}
		source = cmp.Or(source, r.Digest["gitCommit"])
	}
	commit := v.label(registry.RevisionLabel)
	base, _, _ := strings.Cut(d.External.Base, "@") // the index has its name without a digest
	for _, c := range []struct{ what, is, whose, want string }{
		{"it says commit", d.External.Revision, "the images", commit},
		{"its input is commit", source, "the images are of", strings.TrimSuffix(commit, "-dirty")},
		{"it says version", d.External.Version, "the images", v.label(registry.VersionLabel)},
		{"it says base", base, "the index", cmp.Or(v.annotations[registry.BaseNameLabel], base)},
	} {
		if c.is != c.want {
			bad("%s %q, %s %q", c.what, c.is, c.whose, c.want)
		}
	}
	if len(v.result.Lines) > before {
		return
	}
	v.add(verdict, s.name, whatProvenance, "%s built it from commit %s of %s: NetBox %s on %s, %d inputs by digest%s",
		p.Details.Builder.ID, d.External.Revision, d.External.Source, d.External.NetBox, d.External.Base, digests, but)
}

// documentVerdict checks that a trusted provenance names a document by its digest.
func (v *verification) documentVerdict(doc report.Document) (verdict Verdict, but string) {
	if len(v.trusted) == 0 {
		return Unproven, "; no provenance vouches for it"
	}
	for _, b := range v.trusted {
		if (statement{Subject: b.Details.Byproducts}).about(digestOf(doc.Text)) {
			return v.trustVerdict()
		}
	}
	return Wrong, "; the provenance does not name it, it was changed or attached by somebody else"
}
