// Package getter stands for HashiCorp's go-getter, by which syft downloads
// snaps. Nothing is downloaded.
package getter

import (
	"errors"
	"io"
	"net/http"
)

var errAbsent = errors.New("downloads are left out of this syft")

type Getter any

type (
	FileGetter struct{}
	GCSGetter  struct{}
	GitGetter  struct{}
	HgGetter   struct{}
	S3Getter   struct{}
	HttpGetter struct {
		Client *http.Client
		Header http.Header
	}
)

type Client struct {
	Src, Dst string
	Dir      bool
	Getters  map[string]Getter
	Options  []ClientOption
}

func (*Client) Get() error { return errAbsent }

type ClientOption func(*Client) error

type ProgressTracker interface {
	TrackProgress(src string, current, total int64, stream io.ReadCloser) io.ReadCloser
}

func WithProgress(ProgressTracker) func(*Client) error { return nil }

type Decompressor any

var Decompressors map[string]Decompressor

func LimitedDecompressors(files int, size int64) map[string]Decompressor { return nil }

func WithDecompressors(map[string]Decompressor) ClientOption { return nil }
