// Package sbom lists the packages in an image, as syft finds them, in
// documents for programs and in a list for people, and compares two images.
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
	Type    string `json:"type"` // deb, python and the like, as syft calls it
}

// sorted puts packages in order and drops repetitions: files of one package can
// lie in several places.
func sorted(list []Package) []Package {
	slices.SortFunc(list, func(a, b Package) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Type, b.Type), strings.Compare(a.Version, b.Version))
	})
	return slices.Compact(list)
}

// ParseCycloneDX reads the packages in a CycloneDX document that syft wrote.
// Files and the operating system, which it also has, are no packages.
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

// ParseTable reads the packages in a table that syft wrote. Its columns are as
// wide as they must be, and names can hold blanks.
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
		// What follows a type counts its copies.
		list = append(list, Package{
			Name:    strings.TrimSpace(row[:version]),
			Version: strings.TrimSpace(row[version:kind]),
			Type:    strings.Fields(row[kind:])[0],
		})
	}
	return sorted(list), nil
}
