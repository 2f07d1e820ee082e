package attest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

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
		for _, b := range s.statements {
			switch {
			case b.PredicateType != provenancePredicate:
			case v.demand.Signer != nil && b.err != nil:
				others = append(others, b.signer)
			default:
				found[b.payload] = b.statement
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
	if want := v.label(registry.RevisionLabel); d.External.Revision != want {
		problems = append(problems, fmt.Sprintf("it says commit %q, the images %q", d.External.Revision, want))
	}
	if want := strings.TrimSuffix(v.label(registry.RevisionLabel), "-dirty"); p.commit() != want {
		problems = append(problems, fmt.Sprintf("its input is commit %q, the images are of %q", p.commit(), want))
	}
	if want := v.label(registry.VersionLabel); d.External.Version != want {
		problems = append(problems, fmt.Sprintf("it says version %q, the images %q", d.External.Version, want))
	}
	// The index names its base without the digest it had.
	if base, _, _ := strings.Cut(d.External.Base, "@"); v.annotations[registry.BaseNameLabel] != "" && base != v.annotations[registry.BaseNameLabel] {
		problems = append(problems, fmt.Sprintf("it says base %q, the index %q", base, v.annotations[registry.BaseNameLabel]))
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
