package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
)

// Server is a registry inside this process, on loopback.
type Server struct {
	Host string // address and port: the REGISTRY of a target

	http *http.Server
	done chan struct{}
	stop func() bool
}

// Loopback starts a registry on a free port of 127.0.0.1. Blobs are kept as
// files under blobDir, manifests and tags in memory. It ends with ctx or with
// Close, whichever comes first.
func Loopback(ctx context.Context, blobDir string) (*Server, error) {
	if err := os.MkdirAll(blobDir, 0o755); err != nil {
		return nil, fmt.Errorf("starting a registry on loopback: %w", err)
	}
	quiet := log.New(io.Discard, "", 0)
	return serve(ctx, ggcr.New(
		ggcr.Logger(quiet),
		ggcr.WithReferrersSupport(true),
		ggcr.WithBlobHandler(ggcr.NewDiskBlobHandler(blobDir)),
	))
}

func serve(ctx context.Context, handler http.Handler) (*Server, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting a registry on loopback: %w", err)
	}
	s := &Server{
		Host: listener.Addr().String(),
		http: &http.Server{
			Handler:           handler,
			ErrorLog:          log.New(io.Discard, "", 0),
			ReadHeaderTimeout: 10 * time.Second,
		},
		done: make(chan struct{}),
	}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(listener) // always http.ErrServerClosed: only Close ends it
	}()
	s.stop = context.AfterFunc(ctx, func() { _ = s.http.Close() })
	return s, nil
}

// Close stops the registry at once and waits until it has stopped.
func (s *Server) Close() error {
	s.stop()
	err := s.http.Close()
	<-s.done
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("stopping the registry on %s: %w", s.Host, err)
	}
	return nil
}
