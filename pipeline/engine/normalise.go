package engine

import (
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// Normalise removes the build time from an image that was built for req, so that
// the same inputs result in the same digest on every run. Engines call it right
// after the build, before anything else reads the image.
func Normalise(img v1.Image, req BuildRequest) (v1.Image, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("normalising the image: reading its config: %w", err)
	}
	config = config.DeepCopy()
	epoch := req.Epoch
	if epoch.IsZero() {
		epoch = time.Unix(0, 0)
	}
	stamp := v1.Time{Time: epoch.UTC().Truncate(time.Second)}
	config.Created = stamp
	for i := range config.History {
		config.History[i].Created = stamp
	}
	//lint:ignore SA1019 Docker itself still writes it
	config.Container, config.DockerVersion = "", ""
	// Clients choose an image by the index and then compare the platform in its
	// config: both must be the same, including the variant.
	config.Variant = req.Platform.Variant
	out, err := mutate.ConfigFile(img, config)
	if err != nil {
		return nil, fmt.Errorf("normalising the image: %w", err)
	}
	return out, nil
}
