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

// packagesOf names the format of a list of packages, if it is of the image: the
// package that an SPDX 2 document describes, or the component in the metadata of
// a CycloneDX document.
func packagesOf(doc document, image v1.Hash) (string, error) {
	type checksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	var list struct {
		SPDX     string `json:"spdxVersion"`
		Packages []struct {
			Version   string     `json:"versionInfo"`
			Purpose   string     `json:"primaryPackagePurpose"`
			Checksums []checksum `json:"checksums"`
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
	err := json.Unmarshal(doc.data, &list)
	switch {
	case doc.kind == sbom.SPDXType && (err != nil || !strings.HasPrefix(list.SPDX, "SPDX-")):
		return "", fmt.Errorf("it is no SPDX document (%v)", err)
	case doc.kind == sbom.SPDXType:
		for _, p := range list.Packages {
			if p.Purpose == "CONTAINER" && (p.Version == image.String() || slices.Contains(p.Checksums, checksum{"SHA256", image.Hex})) {
				return fmt.Sprintf("%s, %d packages,", list.SPDX, len(list.Packages)-1), nil
			}
		}
		return "", fmt.Errorf("it is not of %s", image)
	case err != nil || list.Format != "CycloneDX":
		return "", fmt.Errorf("it is no CycloneDX document (%v)", err)
	case list.Metadata.Component.Version != image.String():
		return "", fmt.Errorf("it is of %q, not of %s", list.Metadata.Component.Version, image)
	}
	return fmt.Sprintf("CycloneDX %s, %d components,", list.Version, len(list.Components)), nil
}
