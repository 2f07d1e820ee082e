// Package archive reads tar archives.
package archive

import (
	"archive/tar"
	"errors"
	"io"
)

// Walk calls visit for each entry of an archive. content is valid until visit
// returns. Walk also reads the rest of the stream behind the end of the archive:
// only there does a compressed stream verify its checksum, and mutate.Extract return
// its error.
func Walk(r io.Reader, visit func(h *tar.Header, content io.Reader) error) error {
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			_, err := io.Copy(io.Discard, r)
			return err
		}
		if err == nil {
			err = visit(h, t)
		}
		if err != nil {
			return err
		}
	}
}
