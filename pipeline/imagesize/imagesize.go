// Package imagesize computes the sizes of the parts of an image.
package imagesize

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Group is a part of an image: one or more layers.
type Group struct {
	Name string `json:"name"`
	Size int64  `json:"size"` // compressed, in bytes
}

// parts are the groups by a string in the Dockerfile instruction that creates their
// layer. Layers before the first of them are the base, all others are the rest.
var parts = []struct{ name, instruction string }{
	{"packages", "/build/packages run"},
	{"Python", "COPY /lsiopy "},
	{"NetBox", "COPY /netbox "},
	{"static", "COPY /opt/netbox/static "},
}

// Layer is a layer of an image.
type Layer struct {
	Digest  string  `json:"digest"`
	Content v1.Hash `json:"-"`              // unpacked
	Size    int64   `json:"size"`           // compressed, in bytes
	From    string  `json:"from,omitempty"` // the instruction that creates it, "" when unknown
}

// Layers returns the layers of an image. From is set when the image's history
// describes each layer.
func Layers(img v1.Image) ([]Layer, error) {
	manifest, err := img.Manifest()
	if err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	history := slices.DeleteFunc(slices.Clone(config.History), func(h v1.History) bool { return h.EmptyLayer })
	var layers []Layer
	for i, l := range manifest.Layers {
		layer := Layer{Digest: l.Digest.String(), Size: l.Size}
		if len(config.RootFS.DiffIDs) == len(manifest.Layers) {
			layer.Content = config.RootFS.DiffIDs[i]
		}
		if len(history) == len(manifest.Layers) {
			layer.From = history[i].CreatedBy
		}
		layers = append(layers, layer)
	}
	return layers, nil
}

// Groups returns the parts of an image in the order of their first layer. Their
// sizes add up to that of all layers. It returns nil when the image's history does
// not describe each layer.
func Groups(layers []Layer) []Group {
	var groups []Group
	name := "base"
	for _, layer := range layers {
		if layer.From == "" {
			return nil
		}
		part := slices.IndexFunc(parts, func(p struct{ name, instruction string }) bool {
			return strings.Contains(layer.From, p.instruction)
		})
		switch {
		case part >= 0:
			name = parts[part].name
		case name != "base":
			name = "rest"
		}
		at := slices.IndexFunc(groups, func(g Group) bool { return g.Name == name })
		if at < 0 {
			at = len(groups)
			groups = append(groups, Group{Name: name})
		}
		groups[at].Size += layer.Size
	}
	return groups
}
