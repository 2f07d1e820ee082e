package registry

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Admit asks each repository of the targets whether it may be pushed to: an
// upload is opened there and cancelled. So a wrong password is known before
// anything is built for it. Of each registry the first is asked before the
// others, and these only if it does not refuse: wrong passwords lock accounts.
// refused are the answers of optional registries. A registry that is out of
// reach for now refuses nothing: there is time until it is needed.
func Admit(ctx context.Context, targets []Target, opts Options) (refused []error, err error) {
	repositories, err := group(targets, opts)
	if err != nil {
		return nil, err
	}
	for _, first := range []bool{true, false} {
		err = everywhere(repositories, func(r *repository) error {
			if first != (r.first == nil) || !first && r.first.err != nil {
				return nil
			}
			if err := openUpload(ctx, r.door); err != nil && !passing(err) {
				return fmt.Errorf("ask whether %s may be pushed to: %w", r.text, explain(err))
			}
			return nil
		})
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for _, r := range repositories {
		if r.optional && r.err != nil {
			refused = append(refused, r.err)
		}
	}
	return refused, err
}

// openUpload opens an upload of a blob and cancels it.
func openUpload(ctx context.Context, door *door) error {
	client, repo := http.Client{Transport: door}, door.repo
	send := func(method, address string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, method, address, nil)
		if err != nil {
			return nil, err
		}
		return client.Do(req)
	}
	resp, err := send(http.MethodPost, fmt.Sprintf("%s://%s/v2/%s/blobs/uploads/", repo.Scheme(), repo.RegistryStr(), repo.RepositoryStr()))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := transport.CheckError(resp, http.StatusAccepted, http.StatusCreated); err != nil {
		return err
	}
	// Some registries take no cancellation: they forget an upload by themselves.
	if at, err := resp.Location(); err == nil {
		if resp, err := send(http.MethodDelete, at.String()); err == nil {
			resp.Body.Close()
		}
	}
	return nil
}
