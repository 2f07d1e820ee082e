// Package memory stands for the package of go-git.
package memory

import "github.com/go-git/go-git/v5/storage"

func NewStorage() storage.Storer { return nil }
