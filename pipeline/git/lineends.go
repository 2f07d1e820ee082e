package git

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// lineEnds are patterns of the files that images and the README are built from.
var lineEnds = []string{"Dockerfile*", "build", "root", "pipeline/base/rootfs", "pipeline/base/sidecars", "readme-vars.yml", "README.md"}

// CheckLineEnds returns an error, a failure.Usage of one line, when files that images
// are built from have Windows line ends: no container could run such a script.
func CheckLineEnds(dir string) error {
	var found []string
	tree := os.DirFS(dir)
	check := func(file string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !entry.Type().IsRegular() {
			return nil
		}
		if err != nil {
			return err
		}
		text, err := fs.ReadFile(tree, file)
		if bytes.Contains(text, []byte("\r\n")) && !bytes.Contains(text, []byte{0}) {
			found = append(found, file)
		}
		return err
	}
	for _, pattern := range lineEnds {
		paths, _ := fs.Glob(tree, pattern) // fails only for a bad pattern
		for _, path := range paths {
			if err := fs.WalkDir(tree, path, check); err != nil {
				return fmt.Errorf("look for Windows line ends: %w", err)
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	more := ""
	if len(found) > 1 {
		more = fmt.Sprintf(" and %d more files", len(found)-1)
	}
	return failure.Usagef("read %s%s: Windows line ends (CRLF), which no container can run: commit your changes, then run: git rm -rq --cached . && git -c core.autocrlf=false reset --hard", found[0], more)
}
