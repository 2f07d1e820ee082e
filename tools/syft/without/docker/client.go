// Package client stands for Moby's, by which syft reads images of Docker and
// Podman. Images are read from directories here.
package client

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

var errAbsent = errors.New("Docker is left out of this syft")

type Opt func()

func FromEnv() {}

func WithHost(host string) Opt { return nil }

func WithHTTPClient(*http.Client) Opt { return nil }

func WithDialContext(func(ctx context.Context, network, address string) (net.Conn, error)) Opt {
	return nil
}

type (
	PingOptions struct{}
	PingResult  struct{ APIVersion string }

	ImagePullOptions struct {
		Platforms    []v1.Platform
		RegistryAuth string
	}
	ImageInspectOption func()
	ImageInspectResult struct {
		Os, Architecture      string
		Size                  int64
		RepoTags, RepoDigests []string
	}
	ImageSaveOption func()
)

func ImageInspectWithPlatform(*v1.Platform) ImageInspectOption { return nil }

func ImageSaveWithPlatforms(...v1.Platform) ImageSaveOption { return nil }

type APIClient interface {
	Close() error
	Ping(context.Context, PingOptions) (PingResult, error)
	ImageInspect(context.Context, string, ...ImageInspectOption) (ImageInspectResult, error)
	ImagePull(context.Context, string, ImagePullOptions) (io.ReadCloser, error)
	ImageSave(context.Context, []string, ...ImageSaveOption) (io.ReadCloser, error)
}

type Client struct{ APIClient }

func New(...Opt) (*Client, error) { return nil, errAbsent }
