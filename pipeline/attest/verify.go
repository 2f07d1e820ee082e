package attest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	v1 "github.com/google/go-containerregistry/pkg/v1"

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
	v := &verification{at: at, demand: demand, result: Result{Reference: reference, Digest: at.Digest.String()}}
	v.findImages()
	v.checkImages(ctx)
	v.checkLabels()
	if err := v.collect(ctx); err != nil {
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
	at     registry.Opened
	demand Demand
	result Result

	annotations map[string]string // of the index

	images   []*subject
	subjects []*subject // the index, when there is one, and the images
	// believed are the provenances that count, by the digest of their text.
	believed map[v1.Hash]Provenance
}

// add notes what came of a check. What registries send may hold anything: it
// is shown without control characters.
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

func (v *verification) tellOthers() {
	for _, s := range v.subjects {
		for _, b := range s.statements {
			if b.PredicateType != signPredicate && b.PredicateType != provenancePredicate && !s.attached(b) {
				s.others = append(s.others, b.PredicateType)
			}
		}
		if len(s.others) > 0 {
			v.add(Unproven, s.name, whatOthers, "also attached, not checked: %s", strings.Join(compact(s.others), ", "))
		}
	}
}
