// Package billy stands for the file systems of go-git.
package billy

import (
	"io"
	"io/fs"
)

type File interface{ io.ReadCloser }

type Filesystem interface {
	Open(name string) (File, error)
	Stat(name string) (fs.FileInfo, error)
	ReadDir(name string) ([]fs.FileInfo, error)
}
