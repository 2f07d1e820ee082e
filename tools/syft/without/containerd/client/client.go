// Package client stands for containerd's, by which syft reads its images.
// Images are read from directories here.
package client

import (
	"context"
	"errors"
	"io"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/core/remotes"
)

var errAbsent = errors.New("containerd is left out of this syft")

type Image interface {
	Name() string
	Target() v1.Descriptor
	Metadata() images.Image
	Size(context.Context) (int64, error)
}

type RemoteOpt func()

func WithPlatform(string) RemoteOpt { return nil }

func WithImageHandler(images.HandlerFunc) RemoteOpt { return nil }

func WithResolver(remotes.Resolver) RemoteOpt { return nil }

type Client struct{}

func New(address string) (*Client, error) { return nil, errAbsent }

func (*Client) Close() error { return errAbsent }

func (*Client) ContentStore() content.Store { return nil }

func (*Client) ImageService() images.Store { return nil }

func (*Client) GetImage(ctx context.Context, name string) (Image, error) { return nil, errAbsent }

func (*Client) Pull(ctx context.Context, name string, o ...RemoteOpt) (Image, error) {
	return nil, errAbsent
}

func (*Client) Export(ctx context.Context, into io.Writer, o ...archive.ExportOpt) error {
	return errAbsent
}
