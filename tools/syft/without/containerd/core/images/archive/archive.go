// Package archive stands for containerd's.
package archive

import "github.com/containerd/containerd/v2/core/images"

type ExportOpt func()

func WithImage(store images.Store, name string) ExportOpt { return nil }

func WithPlatform(matcher any) ExportOpt { return nil }
