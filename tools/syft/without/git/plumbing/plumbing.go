// Package plumbing stands for the package of go-git.
package plumbing

type (
	Hash          string
	ReferenceName string
	Revision      string
)

func NewHash(hex string) Hash { return Hash(hex) }

func (h Hash) String() string { return string(h) }

func NewTagReferenceName(tag string) ReferenceName { return ReferenceName("refs/tags/" + tag) }
