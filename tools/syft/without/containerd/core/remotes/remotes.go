// Package remotes stands for containerd's.
package remotes

import (
	"context"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

type Resolver any

func MakeRefKey(context.Context, v1.Descriptor) string { return "" }
