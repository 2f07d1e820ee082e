package attest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// checkDocuments checks the documents of one type that are attached to a subject.
// read returns a summary of a document, or the problems with it.
func (v *verification) checkDocuments(s *subject, kind, what, none string, read func(*subject, report.Document) (text string, problems []string)) {
	found := false
	for _, doc := range s.documents {
		if doc.Type != kind {
			continue
		}
		found = true
		text, problems := read(s, doc)
		for _, problem := range problems {
			v.add(Wrong, s.name, what, "%s: %s", doc.Name, problem)
		}
		if len(problems) == 0 {
			verdict, but := v.documentVerdict(doc)
			v.add(verdict, s.name, what, "%s%s", text, but)
		}
	}
	if !found {
		v.absent(s.name, what, "%s", none)
	}
}

func (v *verification) checkReport(s *subject) {
	v.checkDocuments(s, ReportType, whatReport, "none is attached", v.summarizeReport)
}

// summarizeReport summarizes a report, or returns where it contradicts the images that it
// is attached to.
func (v *verification) summarizeReport(_ *subject, doc report.Document) (text string, problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	var r report.Report
	if err := json.Unmarshal(doc.Text, &r); err != nil {
		bad("it is no report: %v", err)
		return "", problems
	}
	if r.Verdict() != report.Passed {
		bad("the check has not passed: %s", r.Why())
	}
	if want := v.label(registry.RevisionLabel); r.Commit != want {
		bad("it is of commit %q, the images are of %q", r.Commit, want)
	}
	for _, img := range v.images {
		i := slices.IndexFunc(r.Platforms, func(p report.Platform) bool { return p.Platform == img.name })
		switch {
		case i < 0:
			bad("it does not know the image of %s", img.name)
		case r.Platforms[i].Image != img.digest.String():
			bad("it is of another image of %s, %s", img.name, r.Platforms[i].Image)
		case !r.Good(report.Key{Stage: "boot", Platform: img.name}, report.Key{Stage: "smoke", Platform: img.name}):
			bad("the image of %s did not pass its check", img.name)
		}
	}
	if v.at.Index != nil && r.Index != v.at.Digest.String() {
		bad("it is of another index, %s", r.Index)
	}
	digest := digestOf(doc.Text)
	if v.read[digest] {
		return "the same as above", problems
	}
	v.read[digest] = true
	var booted []string
	for _, p := range r.Platforms {
		text := p.Platform
		if p.Boot != nil {
			text += fmt.Sprintf(" answered after %.1f s, %d checks", p.Boot.FirstOK, len(p.Smoke))
		}
		booted = append(booted, text)
	}
	return r.Why() + ": " + strings.Join(booted, "; "), problems
}

// ReportDocument returns the report to attach to an index: that of the images' check,
// without the stages of publishing. The same check results in the same text.
func ReportDocument(r report.Report, index v1.Hash, hide func(string) string) (report.Document, error) {
	r.Index, r.Published, r.Missed = index.String(), nil, nil
	// The published images that these are compared with change with every release.
	r.Difference = nil
	early := func(k report.Key) bool {
		return slices.Contains([]string{"access", "merge", "difference", "publish"}, k.Stage)
	}
	r.Expected = slices.DeleteFunc(slices.Clone(r.Expected), early)
	r.Stages = slices.DeleteFunc(slices.Clone(r.Stages), func(s report.Stage) bool { return early(s.Key) })
	text, err := r.JSON(hide)
	if err != nil {
		return report.Document{}, fmt.Errorf("attach the report: %w", err)
	}
	if err := r.Same(text); err != nil {
		return report.Document{}, fmt.Errorf("attach the report: read back, %w: nothing was sent", err)
	}
	return report.Document{Name: "report.json", Type: ReportType, Text: text}, nil
}

// Predicate types of lists of packages: cosign's spdxjson and cyclonedx.
const (
	spdxPredicate      = "https://spdx.dev/Document"
	cycloneDXPredicate = "https://cyclonedx.org/bom"
)

// predicates are the predicate types of documents that other tools look for as
// signed statements too, by media type.
var predicates = map[string]string{sbom.SPDXType: spdxPredicate, sbom.CycloneDXType: cycloneDXPredicate}

// attached reports whether the list of packages in a signed statement is also
// attached as a document.
func (s *subject) attached(b signed) bool {
	return slices.ContainsFunc(s.documents, func(doc report.Document) bool {
		raw, err := json.Marshal(json.RawMessage(doc.Text)) // as a statement holds it
		return err == nil && predicates[doc.Type] == b.PredicateType && bytes.Equal(raw, b.Predicate)
	})
}

func (v *verification) checkPackages(s *subject) {
	for _, b := range s.statements {
		if (b.PredicateType == spdxPredicate || b.PredicateType == cycloneDXPredicate) && v.policy.Signer != nil && b.err == nil && !s.attached(b) {
			v.add(Wrong, s.name, whatPackages, "the signed list of type %s is not one that is attached as a document", b.PredicateType)
		}
	}
	if slices.Contains(v.images, s) {
		for _, kind := range []string{sbom.SPDXType, sbom.CycloneDXType} {
			v.checkDocuments(s, kind, whatPackages, "no list of packages is attached as "+kind, summarizePackages)
		}
		return
	}
	for _, doc := range s.documents { // an index has the lists of its images
		if attachmentKinds[doc.Type] == whatPackages && !slices.ContainsFunc(v.images, func(img *subject) bool { return img.has(doc) }) {
			v.add(Wrong, s.name, whatPackages, "%s (%s) is attached to the index, but to none of its images", doc.Name, digestOf(doc.Text))
		}
	}
}

// has reports whether a list of packages is attached to the subject.
func (s *subject) has(list report.Document) bool {
	return slices.ContainsFunc(s.documents, func(doc report.Document) bool {
		return attachmentKinds[doc.Type] == whatPackages && bytes.Equal(doc.Text, list.Text)
	})
}

// summarizePackages summarizes a list of packages and checks that it describes the image
// of: by the package of purpose CONTAINER in an SPDX 2 document, or by the component
// in the metadata of a CycloneDX document.
func summarizePackages(of *subject, doc report.Document) (text string, problems []string) {
	bad := func(format string, args ...any) (string, []string) { return "", []string{fmt.Sprintf(format, args...)} }
	var list struct {
		SPDX     string `json:"spdxVersion"`
		Packages []struct {
			Version string `json:"versionInfo"`
			Purpose string `json:"primaryPackagePurpose"`
		} `json:"packages"`

		Format   string `json:"bomFormat"`
		Version  string `json:"specVersion"`
		Metadata struct {
			Component struct {
				Version string `json:"version"`
			} `json:"component"`
		} `json:"metadata"`
		Components []json.RawMessage `json:"components"`
	}
	err := json.Unmarshal(doc.Text, &list)
	switch {
	case doc.Type == sbom.SPDXType && (err != nil || !strings.HasPrefix(list.SPDX, "SPDX-")):
		return bad("it is no SPDX document (%v)", err)
	case doc.Type == sbom.SPDXType:
		for _, p := range list.Packages {
			if p.Purpose == "CONTAINER" && p.Version == of.digest.String() {
				return fmt.Sprintf("%s, %d packages, of this image", list.SPDX, len(list.Packages)-1), nil
			}
		}
		return bad("it is not of %s", of.digest)
	case err != nil || list.Format != "CycloneDX":
		return bad("it is no CycloneDX document (%v)", err)
	case list.Metadata.Component.Version != of.digest.String():
		return bad("it is of %q, not of %s", list.Metadata.Component.Version, of.digest)
	}
	return fmt.Sprintf("CycloneDX %s, %d components, of this image", list.Version, len(list.Components)), nil
}
