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

// Groups lists the parts of an image in the order of their first layer; their
// sizes add up to that of all layers. There are none when the image's history
// does not describe each layer.
func Groups(img v1.Image) ([]Group, error) {
	manifest, err := img.Manifest()
	if err != nil {
		return nil, fmt.Errorf("reading the manifest to size the layers: %w", err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the configuration to size the layers: %w", err)
	}
	history := slices.DeleteFunc(slices.Clone(config.History), func(h v1.History) bool { return h.EmptyLayer })
	if len(history) != len(manifest.Layers) {
		return nil, nil
	}
	var groups []Group
	name := "base"
	for i, layer := range manifest.Layers {
		part := slices.IndexFunc(parts, func(p struct{ name, instruction string }) bool {
			return strings.Contains(history[i].CreatedBy, p.instruction)
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
	return groups, nil
}
