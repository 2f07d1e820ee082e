// Package storage stands for the package of go-git.
package storage

type Storer any
