package attest

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

// Policy is what Verify requires to be attached. What is attached must always be
// valid.
type Policy struct {
	Platforms []string // registry.Key of each image that an index must have
	Require   []string // what must be attached, of Requirements
	// Signer, unless nil, must have signed the index and each image. Then only
	// provenance signed by it is trusted.
	Signer Verifier
}

// Verify checks an index or one image, and everything attached to it. The error is
// non-nil when reading fails; failed checks are in the Result.
func Verify(ctx context.Context, reference string, at registry.Opened, policy Policy) (Result, error) {
	v := &verification{
		at: at, policy: policy, result: Result{Reference: reference, Digest: at.Digest.String()},
		trusted: map[string]Provenance{}, read: map[v1.Hash]bool{},
	}
	v.findSubjects()
	for _, img := range v.images {
		v.checkImage(ctx, img)
	}
	v.checkLabels()
	if err := v.collect(ctx); err != nil {
		return v.result, err
	}
	for _, check := range []func(*subject){v.checkSignature, v.checkProvenance, v.checkPackages, v.checkReport, v.listOthers} {
		for _, s := range v.subjects {
			check(s)
		}
	}
	v.result.Passed = v.result.Err() == nil
	return v.result, ctx.Err()
}

type verification struct {
	at     registry.Opened
	policy Policy
	result Result

	annotations map[string]string // of the index

	images   []*subject
	subjects []*subject // the index, when there is one, and the images
	// trusted are the trusted provenances, by their text.
	trusted map[string]Provenance
	read    map[v1.Hash]bool // digests of the reports read so far
}

// add records the result of a check. It replaces control characters, which text
// from a registry may contain.
func (v *verification) add(verdict Verdict, of, what, format string, args ...any) {
	text := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, fmt.Sprintf(format, args...))
	v.result.Lines = append(v.result.Lines, Line{verdict, of, what, text})
}

// absent records that something is not attached.
func (v *verification) absent(of, what, format string, args ...any) {
	verdict := Unproven
	if slices.Contains(v.policy.Require, what) || what == whatSignature && v.policy.Signer != nil {
		verdict = Missing
	}
	v.add(verdict, of, what, format, args...)
}

// trustVerdict returns the verdict on what agrees with a trusted provenance: Proven when
// a signer was required, which then signed that provenance.
func (v *verification) trustVerdict() (verdict Verdict, but string) {
	if v.policy.Signer == nil {
		return Unproven, "; nobody was asked to vouch for it (--key or --identity)"
	}
	return Proven, ""
}

func (v *verification) listOthers(s *subject) {
	for _, b := range s.statements {
		if b.PredicateType != signPredicate && b.PredicateType != provenancePredicate && !s.attached(b) {
			s.others = append(s.others, b.PredicateType)
		}
	}
	if len(s.others) > 0 {
		v.add(Unproven, s.name, whatOthers, "also attached, not checked: %s", strings.Join(compact(s.others), ", "))
	}
}

// Verdict is the result of one check.
type Verdict string

// Verdicts. Unproven is what was not required, and is absent or cannot be checked.
const (
	Proven   Verdict = "proven"
	Unproven Verdict = "unproven"
	Wrong    Verdict = "wrong"
	Missing  Verdict = "missing"
)

// Subjects of checks, the values of Line.What.
const (
	whatIndex      = "index"
	whatImage      = "image"
	whatLabels     = "labels"
	whatSignature  = "signature"
	whatProvenance = "provenance"
	whatPackages   = "sbom"
	whatReport     = "report"
	whatOthers     = "others"
	whatRebuild    = "rebuild"
)

// Requirements returns what a Policy can require to be attached.
func Requirements() []string {
	return []string{whatSignature, whatProvenance, whatPackages, whatReport}
}

// Line is the result of one check.
type Line struct {
	Verdict Verdict `json:"verdict"`
	Of      string  `json:"of"` // "index" or a platform
	What    string  `json:"what"`
	Text    string  `json:"text"`
}

// Result is the results of all checks of a reference.
type Result struct {
	Reference string `json:"reference"`
	Digest    string `json:"digest"`
	Passed    bool   `json:"passed"` // whether Err is nil
	Lines     []Line `json:"lines"`
}

// Rebuilt adds the result of rebuilding the image of a platform. A different image
// is wrong, unless changed inputs explain the difference.
func (r *Result) Rebuilt(platform, commit string, same, explained bool, text string) {
	verdict := Wrong
	switch {
	case same:
		verdict = Proven
	case explained:
		verdict = Unproven
	}
	r.Lines = append(r.Lines, Line{verdict, platform, whatRebuild, fmt.Sprintf("commit %s was built again: %s", commit, text)})
	r.Passed = r.Err() == nil
}

// Err returns an error when a check found something wrong or missing.
func (r Result) Err() error {
	bad := slices.DeleteFunc(slices.Clone(r.Lines), func(l Line) bool { return l.Verdict != Wrong && l.Verdict != Missing })
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("verify %s: %d of %d checks failed: %s of %s: %s", r.Reference, len(bad), len(r.Lines), bad[0].What, bad[0].Of, bad[0].Text)
}

// Text writes the result for people.
func (r Result) Text(out io.Writer) error {
	fmt.Fprintf(out, "%s is %s\n\n", r.Reference, r.Digest)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	count := map[Verdict]int{}
	for _, l := range r.Lines {
		count[l.Verdict]++
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", l.Verdict, l.Of, l.What, l.Text)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write what was verified: %w", err)
	}
	var sum []string
	for _, v := range []Verdict{Proven, Unproven, Wrong, Missing} {
		if count[v] > 0 {
			sum = append(sum, fmt.Sprintf("%d %s", count[v], v))
		}
	}
	_, err := fmt.Fprintf(out, "\n%s\n", strings.Join(sum, ", "))
	return err
}
