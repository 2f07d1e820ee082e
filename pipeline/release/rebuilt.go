package release

import (
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

// CompareImages compares the image that an index has for a platform with one
// built anew.
func CompareImages(platform v1.Platform, published v1.ImageIndex, built v1.Image) (*Rebuilt, error) {
	r := &Rebuilt{Platform: registry.Key(platform)}
	images, err := imagesOf(published)
	if err != nil {
		return nil, fmt.Errorf("read the published image: %w", err)
	}
	was, found := images[r.Platform]
	if !found {
		r.Differs = []string{"everything: none is published"}
		return r, nil
	}
	before, err := layers(was)
	if err != nil {
		return nil, fmt.Errorf("read the published image of %s: %w", r.Platform, err)
	}
	after, err := layers(built)
	if err != nil {
		return nil, fmt.Errorf("read the image of %s: %w", r.Platform, err)
	}
	seen := map[v1.Hash]bool{}
	for _, l := range before {
		seen[l.content] = true
	}
	for _, l := range after {
		// One layer holds when the image was made, and is allowed to.
		if !seen[l.content] && !strings.Contains(l.from, "/build_version") {
			r.Differs = append(r.Differs, l.from)
		}
	}
	if len(after) != len(before) && len(r.Differs) == 0 {
		r.Differs = []string{fmt.Sprintf("the number of layers, %d before and %d now", len(before), len(after))}
	}
	return r, nil
}

type layer struct {
	content v1.Hash // unpacked
	from    string  // the instruction
}

func layers(img v1.Image) ([]layer, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	var made []string
	for _, h := range config.History {
		if !h.EmptyLayer {
			made = append(made, h.CreatedBy)
		}
	}
	var list []layer
	for i, id := range config.RootFS.DiffIDs {
		l := layer{content: id, from: short(id.String())}
		if len(made) == len(config.RootFS.DiffIDs) {
			l.from = made[i]
		}
		list = append(list, l)
	}
	return list, nil
}
