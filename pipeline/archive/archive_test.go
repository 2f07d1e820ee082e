package archive_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/archive"
)

// All entries are visited, and the rest of the stream is read.
func TestAnArchiveIsReadToTheEndOfItsStream(t *testing.T) {
	var text bytes.Buffer
	w := tar.NewWriter(&text)
	for _, name := range []string{"a", "b"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Size: 1, Mode: 0o644, ModTime: time.Unix(1, 0)}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, name); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	unread, stop := errors.New("the sum is wrong"), errors.New("enough")
	for name, test := range map[string]struct {
		from io.Reader
		stop error // of the second visit
		want error
	}{
		"whole":                  {bytes.NewReader(text.Bytes()), nil, nil},
		"a fault behind its end": {io.MultiReader(bytes.NewReader(text.Bytes()), iotest.ErrReader(unread)), nil, unread},
		"cut short":              {bytes.NewReader(text.Bytes()[:1300]), nil, io.ErrUnexpectedEOF},
		"a visit fails":          {bytes.NewReader(text.Bytes()), stop, stop},
	} {
		var seen strings.Builder
		err := archive.Walk(test.from, func(h *tar.Header, content io.Reader) error {
			if _, err := io.Copy(&seen, content); err != nil || h.Name == "a" {
				return err
			}
			return test.stop
		})
		if !errors.Is(err, test.want) || test.want == nil && seen.String() != "ab" {
			t.Errorf("%s: %v after %q, want %v", name, err, seen.String(), test.want)
		}
	}
}
