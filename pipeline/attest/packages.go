package attest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// Predicates of lists of packages, as cosign calls them spdxjson and cyclonedx.
const (
	spdxPredicate      = "https://spdx.dev/Document"
	cycloneDXPredicate = "https://cyclonedx.org/bom"
)

// predicates are those of the documents that others look for as signed
// statements too, by their types.
var predicates = map[string]string{sbom.SPDXType: spdxPredicate, sbom.CycloneDXType: cycloneDXPredicate}

// attached reports whether the list of packages that a bundle signs is one of the
// documents beside it.
func (s *subject) attached(b signed) bool {
	return slices.ContainsFunc(s.documents, func(doc document) bool {
		raw, err := json.Marshal(json.RawMessage(doc.data)) // as a statement holds it
		return err == nil && predicates[doc.kind] == b.PredicateType && string(raw) == string(b.Predicate)
	})
}

func (v *verification) checkPackages() {
	for _, s := range v.subjects {
		for _, b := range s.statements {
			if (b.PredicateType == spdxPredicate || b.PredicateType == cycloneDXPredicate) && v.demand.Signer != nil && b.err == nil && !s.attached(b) {
				v.add(Wrong, s.name, whatPackages, "the signed list of type %s is not one that is attached as a document", b.PredicateType)
			}
		}
	}
	own := map[v1.Hash]bool{} // documents of the images
	for _, s := range v.images {
		for _, kind := range []string{sbom.SPDXType, sbom.CycloneDXType} {
			none := "no list of packages is attached as " + kind
			v.checkDocuments(s, kind, whatPackages, none, func(doc document) (text string, problems []string) {
				own[doc.digest] = true
				text, err := packagesOf(doc, s.digest)
				if err != nil {
					return "", []string{err.Error()}
				}
				return text + " of this image", nil
			})
		}
	}
	if v.at.Index == nil {
		return
	}
	for _, doc := range v.subjects[0].documents {
		if (doc.kind == sbom.SPDXType || doc.kind == sbom.CycloneDXType) && !own[doc.digest] {
			v.add(Wrong, "index", whatPackages, "%s (%s) is attached to the index, but to none of its images", doc.title, doc.digest)
		}
	}
}

// packagesOf names the format of a list of packages, if it is of the image.
func packagesOf(doc document, image v1.Hash) (string, error) {
	if doc.kind == sbom.SPDXType {
		return spdxOf(doc.data, image)
	}
	return cycloneDXOf(doc.data, image)
}

// spdxOf looks into an SPDX 2 document: the package that the document
// describes is the image.
func spdxOf(text []byte, image v1.Hash) (string, error) {
	type checksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	var spdx struct {
		Version  string `json:"spdxVersion"`
		Packages []struct {
			Version   string     `json:"versionInfo"`
			Purpose   string     `json:"primaryPackagePurpose"`
			Checksums []checksum `json:"checksums"`
		} `json:"packages"`
	}
	if err := json.Unmarshal(text, &spdx); err != nil || !strings.HasPrefix(spdx.Version, "SPDX-") {
		return "", fmt.Errorf("it is no SPDX document (%v)", err)
	}
	for _, p := range spdx.Packages {
		if p.Purpose != "CONTAINER" {
			continue
		}
		if p.Version == image.String() || slices.Contains(p.Checksums, checksum{"SHA256", image.Hex}) {
			return fmt.Sprintf("%s, %d packages,", spdx.Version, len(spdx.Packages)-1), nil
		}
	}
	return "", fmt.Errorf("it is not of %s", image)
}

// cycloneDXOf looks into a CycloneDX document: the component of its metadata
// is the image.
func cycloneDXOf(text []byte, image v1.Hash) (string, error) {
	var cyclonedx struct {
		Format   string `json:"bomFormat"`
		Version  string `json:"specVersion"`
		Metadata struct {
			Component struct {
				Version string `json:"version"`
			} `json:"component"`
		} `json:"metadata"`
		Components []json.RawMessage `json:"components"`
	}
	if err := json.Unmarshal(text, &cyclonedx); err != nil || cyclonedx.Format != "CycloneDX" {
		return "", fmt.Errorf("it is no CycloneDX document (%v)", err)
	}
	if got := cyclonedx.Metadata.Component.Version; got != image.String() {
		return "", fmt.Errorf("it is of %q, not of %s", got, image)
	}
	return fmt.Sprintf("CycloneDX %s, %d components,", cyclonedx.Version, len(cyclonedx.Components)), nil
}
