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
	"path/filepath"
	"regexp"
	"sync"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
)

// Server is a registry in this process that listens on loopback.
type Server struct {
	Host  string       // address and port: the REGISTRY of a target
	Close func() error // stops the registry at once and waits until it has stopped
}

// Loopback starts a registry on a free port of 127.0.0.1. It stores blobs in files
// under blobDir, manifests and tags in memory. It stops when ctx is done or on Close.
func Loopback(ctx context.Context, blobDir string) (_ *Server, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("starting a registry on loopback: %w", err)
		}
	}()
	if err := os.MkdirAll(blobDir, 0o755); err != nil {
		return nil, err
	}
	uploads, err := os.MkdirTemp(blobDir, "uploads-")
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(uploads))
	}
	quiet := log.New(io.Discard, "", 0)
	server := &http.Server{
		Handler: spool{uploads, ggcr.New(
			ggcr.Logger(quiet),
			ggcr.WithReferrersSupport(true),
			ggcr.WithBlobHandler(ggcr.NewDiskBlobHandler(blobDir)),
		)},
		ErrorLog:          quiet,
		ReadHeaderTimeout: 10 * time.Second,
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // always http.ErrServerClosed: only Close stops it
	}()
	end := sync.OnceValue(func() error {
		err := server.Close()
		<-done
		if err = errors.Join(err, os.RemoveAll(uploads)); err != nil {
			return fmt.Errorf("stopping the registry on %s: %w", listener.Addr(), err)
		}
		return nil
	})
	context.AfterFunc(ctx, func() { _ = end() })
	return &Server{listener.Addr().String(), end}, nil
}

// spool writes uploads to files while they arrive. The registry behind it would
// buffer each in memory several times: a gigabyte for an image.
type spool struct {
	dir  string
	next http.Handler
}

// uploadPath matches the path of an open upload.
var uploadPath = regexp.MustCompile(`^(/v2/.+/blobs/uploads/)([0-9]+)$`)

func (s spool) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if parts := uploadPath.FindStringSubmatch(r.URL.Path); parts != nil {
		file := filepath.Join(s.dir, parts[2])
		switch r.Method {
		case http.MethodPatch:
			if err := saveUpload(file, r.Body); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Location", r.URL.Path)
			w.WriteHeader(http.StatusAccepted)
			return
		case http.MethodPut:
			f, err := os.Open(file)
			if err != nil {
				break // the blob is in this request
			}
			defer os.Remove(file)
			defer f.Close()
			// The registry streams a blob that arrives in a single request.
			r = r.Clone(r.Context())
			r.Method, r.URL.Path = http.MethodPost, parts[1]
			r.Body, r.ContentLength = f, -1 // no length: the registry checks the digest
		}
	}
	s.next.ServeHTTP(w, r)
}

// saveUpload writes a body to a new file, and removes the file on failure.
func saveUpload(file string, body io.Reader) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.ReadFrom(body)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(file))
	}
	return nil
}
