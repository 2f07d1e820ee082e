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
