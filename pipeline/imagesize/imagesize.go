// Package imagesize lists the parts of an image and the size of each.
package imagesize

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Group is a part of an image: one layer or several.
type Group struct {
	Name string `json:"name"`
	Size int64  `json:"size"` // compressed, in bytes
}

// parts are the groups of the image by a word of the Dockerfile's instruction
// that makes their layer. What comes before the first of them is the base,
// what is none of them is the rest.
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
	From    string  `json:"from,omitempty"` // the instruction that makes it, "" when nobody knows
}

// Layers are the layers of an image. The instructions are known when its history
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

// Groups lists the parts of an image in the order of their first layer; their
// sizes add up to that of all layers. There are none when the image's history
// does not describe each layer.
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
