// Package archive reads tar archives.
package archive

import (
	"archive/tar"
	"errors"
	"io"
)

// Walk calls visit for each entry of an archive, whose content can be read until
// it returns. An archive may end well although the stream that it comes in could
// not be read: what is behind the end is read too, where a compressed stream
// verifies its sum and mutate.Extract says what it lacks.
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
