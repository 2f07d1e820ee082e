package outdir

import (
	"errors"
	"os"
	"path/filepath"
)

// WriteFile writes a file so that it is the old one or the new one, never half
// of either.
func WriteFile(name string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), partial(filepath.Base(name)))
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}
