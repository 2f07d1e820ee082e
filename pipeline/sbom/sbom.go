// Package sbom lists the packages in an image with syft, in documents for programs
// and a table for people, and compares the packages of images.
package sbom

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// ListFile is the file at the root of the repository that lists the packages in
// the image of ListedPlatform.
const (
	ListFile       = "package_versions.txt"
	ListedPlatform = "linux/amd64"
)

// Package is a package in an image.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Type    string `json:"type"` // of syft, such as deb or python
}

// sorted sorts packages and removes duplicates: a package can have files in several
// places.
func sorted(list []Package) []Package {
	slices.SortFunc(list, func(a, b Package) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Type, b.Type), strings.Compare(a.Version, b.Version))
	})
	return slices.Compact(list)
}

// ParseCycloneDX returns the packages in a CycloneDX document that syft wrote. It
// skips the components for files and the operating system.
func ParseCycloneDX(document []byte) ([]Package, error) {
	var doc struct {
		BOMFormat  string
		Components []struct {
			Name, Version string
			Properties    []struct{ Name, Value string }
		}
	}
	if err := json.Unmarshal(document, &doc); err != nil {
		return nil, fmt.Errorf("read a CycloneDX document: %w", err)
	}
	if doc.BOMFormat != "CycloneDX" {
		return nil, fmt.Errorf("read a CycloneDX document: its format is %q", doc.BOMFormat)
	}
	var list []Package
	for _, c := range doc.Components {
		for _, p := range c.Properties {
			if p.Name == "syft:package:type" {
				list = append(list, Package{c.Name, c.Version, p.Value})
			}
		}
	}
	return sorted(list), nil
}

// ParseTable returns the packages in a table that syft wrote. It splits columns by
// their position in the header, because names can contain blanks.
func ParseTable(table []byte) ([]Package, error) {
	header, rows, _ := strings.Cut(string(table), "\n")
	version, kind := strings.Index(header, " VERSION"), strings.Index(header, " TYPE")
	if !strings.HasPrefix(header, "NAME ") || version < 0 || kind < version {
		return nil, fmt.Errorf("read a list of packages: its first line is %q, not NAME VERSION TYPE", strings.TrimSpace(header))
	}
	var list []Package
	line := 1
	for row := range strings.Lines(rows) {
		line++
		row = strings.TrimRight(row, " \n")
		if row == "" {
			continue
		}
		if len(row) <= kind {
			return nil, fmt.Errorf("read a list of packages: line %d has no type: %q", line, row)
		}
		// The type may be followed by the number of duplicates.
		list = append(list, Package{
			Name:    strings.TrimSpace(row[:version]),
			Version: strings.TrimSpace(row[version:kind]),
			Type:    strings.Fields(row[kind:])[0],
		})
	}
	return sorted(list), nil
}
