package attest

import (
	"slices"
	"strings"
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
		good, bad := v.simply(s)
		if good > 0 {
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
