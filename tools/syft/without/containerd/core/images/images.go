// Package images stands for containerd's.
package images

import (
	"context"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	MediaTypeDockerSchema1Manifest     = "application/vnd.docker.distribution.manifest.v1+prettyjws"
	MediaTypeDockerSchema2Config       = "application/vnd.docker.container.image.v1+json"
	MediaTypeDockerSchema2Manifest     = "application/vnd.docker.distribution.manifest.v2+json"
	MediaTypeDockerSchema2ManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"
)

type Image struct{ Target v1.Descriptor }

type Store any

type HandlerFunc func(context.Context, v1.Descriptor) ([]v1.Descriptor, error)
