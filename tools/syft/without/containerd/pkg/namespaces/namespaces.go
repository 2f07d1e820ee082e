// Package namespaces stands for containerd's.
package namespaces

import "context"

const Default = "default"

func WithNamespace(ctx context.Context, name string) context.Context { return ctx }
