package attest

import (
	"encoding/json"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

func (v *verification) checkSignatures() {
	for _, s := range v.subjects {
		var forms, others []string
		for _, b := range s.statements {
			switch {
			case b.PredicateType != signPredicate:
			case b.err == nil:
				forms = append(forms, "sigstore bundle")
			default:
				others = append(others, b.signer)
			}
		}
		key, asked := v.demand.Signer.(PublicKey)
		simple := asked && slices.ContainsFunc(s.simple, func(each simply) bool { return key.verifies(each.payload, each.signature) })
		if simple {
			forms = append(forms, "simple signing")
		}
		forms = compact(forms)
		by := strings.Join(compact(others), " and ")
		switch {
		case v.demand.Signer == nil && by == "" && len(s.simple) == 0:
			v.absent(s.name, whatSignature, "nobody signed it")
		case v.demand.Signer == nil && by == "":
			v.add(Unproven, s.name, whatSignature, "it is signed by a key that was not asked for (--key)")
		case v.demand.Signer == nil:
			v.add(Unproven, s.name, whatSignature, "it is signed by %s, who was not asked for (--key or --identity)", by)
		case len(forms) == 0 && by != "":
			v.absent(s.name, whatSignature, "it is not signed by %s, but by %s", v.demand.Signer, by)
		case len(forms) == 0:
			v.absent(s.name, whatSignature, "it is not signed by %s", v.demand.Signer)
		default:
			v.add(Proven, s.name, whatSignature, "it is signed by %s (%s)", v.demand.Signer, strings.Join(forms, ", "))
			if by != "" {
				v.add(Unproven, s.name, whatSignature, "it is also signed by %s", by)
			}
		}
		// A key signs in both forms: one that fits nothing was tampered with.
		if asked && !simple && len(s.simple) > 0 {
			v.add(Wrong, s.name, whatSignature, "%s: %d signatures, none by %s", simpleTag(s.digest), len(s.simple), v.demand.Signer)
		}
	}
}

func compact(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

func (v *verification) checkProvenance() {
	v.believed = map[v1.Hash]Provenance{}
	for _, s := range v.subjects {
		seen := map[v1.Hash]bool{}
		var others []string
		for _, b := range s.statements {
			switch {
			case b.PredicateType != provenancePredicate:
			case v.demand.Signer != nil && b.err != nil:
				others = append(others, b.signer)
			case !seen[b.payload]:
				seen[b.payload] = true
				v.checkOneProvenance(s, b)
			}
		}
		switch {
		case len(seen) == 0 && len(others) > 0:
			v.absent(s.name, whatProvenance, "there is none that %s has signed, only by %s", v.demand.Signer, strings.Join(compact(others), " and "))
		case len(seen) == 0:
			v.absent(s.name, whatProvenance, "none is attached")
		}
	}
}

func (v *verification) checkOneProvenance(s *subject, of signed) {
	verdict, but := v.checked()
	if _, known := v.believed[of.payload]; known {
		v.add(verdict, s.name, whatProvenance, "the same as above%s", but)
		return
	}
	var p Provenance
	if err := json.Unmarshal(of.Predicate, &p); err != nil {
		v.add(Wrong, s.name, whatProvenance, "it is damaged: %v", err)
		return
	}
	v.believed[of.payload] = p
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
	if want := v.label(registry.RevisionLabel); d.External.Revision != want {
		bad("it says commit %q, the images %q", d.External.Revision, want)
	}
	if want := strings.TrimSuffix(v.label(registry.RevisionLabel), "-dirty"); p.commit() != want {
		bad("its input is commit %q, the images are of %q", p.commit(), want)
	}
	if want := v.label(registry.VersionLabel); d.External.Version != want {
		bad("it says version %q, the images %q", d.External.Version, want)
	}
	// The index names its base without the digest it had.
	if base, _, _ := strings.Cut(d.External.Base, "@"); v.annotations[registry.BaseNameLabel] != "" && base != v.annotations[registry.BaseNameLabel] {
		bad("it says base %q, the index %q", base, v.annotations[registry.BaseNameLabel])
	}
	if len(v.result.Lines) > before {
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

// vouched reports what the provenance says of a document.
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
