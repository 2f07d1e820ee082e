// Package object stands for the package of go-git.
package object

import "errors"

var errAbsent = errors.New("git is left out of this syft")

type (
	Commit struct{}
	File   struct{}
	Tree   struct{}
)

func (*Commit) Tree() (*Tree, error) { return nil, errAbsent }

func (*Tree) File(path string) (*File, error) { return nil, errAbsent }

func (*File) Contents() (string, error) { return "", errAbsent }
