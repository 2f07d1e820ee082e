// Package git stands for go-git, by which syft clones the repositories of Go
// modules and of vcpkg's ports. It clones none unless asked to.
package git

import (
	"context"
	"errors"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage"
)

var errAbsent = errors.New("git is left out of this syft")

type CloneOptions struct {
	URL           string
	ReferenceName plumbing.ReferenceName
	SingleBranch  bool
	Depth         int
	Progress      io.Writer
}

type CheckoutOptions struct{ Hash plumbing.Hash }

type Repository struct{ Storer storage.Storer }

func Clone(into storage.Storer, tree any, o *CloneOptions) (*Repository, error) {
	return nil, errAbsent
}

func CloneContext(ctx context.Context, into storage.Storer, tree any, o *CloneOptions) (*Repository, error) {
	return nil, errAbsent
}

func Open(from storage.Storer, tree any) (*Repository, error) { return nil, errAbsent }

func PlainOpen(path string) (*Repository, error) { return nil, errAbsent }

func (*Repository) ResolveRevision(plumbing.Revision) (*plumbing.Hash, error) { return nil, errAbsent }

func (*Repository) CommitObject(plumbing.Hash) (*object.Commit, error) { return nil, errAbsent }

func (*Repository) TreeObject(plumbing.Hash) (*object.Tree, error) { return nil, errAbsent }

func (*Repository) Worktree() (*Worktree, error) { return nil, errAbsent }

type Worktree struct{}

func (*Worktree) Checkout(*CheckoutOptions) error { return errAbsent }
