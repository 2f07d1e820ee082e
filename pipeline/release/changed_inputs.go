package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/base"
	"github.com/linuxserver/docker-netbox/pipeline/dockerfile"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/git"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

// FindChangedInputs returns those of the changed files that are inputs of the image: the
// Dockerfiles, the files they copy from their context, the pinned versions, and the
// inputs of the base, nil unless the base is built here. It does not find changes in
// how the image is built; --rebuild does.
func FindChangedInputs(ctx context.Context, repo, since string, changed []string, baseInputs *base.Inputs) ([]string, error) {
	sources := []string{versions.File, ".dockerignore"}
	for _, p := range platform.All() {
		text, err := os.ReadFile(filepath.Join(repo, p.Dockerfile))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, failure.Usagef("find out what the image is made of: %w: run it at the root of the repository, or name that with --repo", err)
		}
		if err != nil {
			return nil, fmt.Errorf("find out what the image is made of: %w", err)
		}
		sources = append(append(sources, p.Dockerfile), dockerfile.Sources(string(text))...)
	}
	var inputs []string
	for _, file := range changed {
		isInput := slices.ContainsFunc(sources, func(s string) bool { return s == "." || s == file || strings.HasPrefix(file, s+"/") })
		switch {
		case isInput || baseInputs == nil:
		case file == "go.mod":
			var err error
			if isInput, err = requirementsChanged(ctx, repo, since, baseInputs); err != nil {
				return nil, err
			}
		default:
			isInput = baseInputs.Has(file)
		}
		if isInput {
			inputs = append(inputs, file)
		}
	}
	return inputs, nil
}

// requirementsChanged reports whether go.mod has changed for modules that the programs in
// the base are compiled from.
func requirementsChanged(ctx context.Context, repo, since string, baseInputs *base.Inputs) (bool, error) {
	before, _, err := git.File(ctx, repo, since, "go.mod")
	if err != nil {
		return false, err
	}
	now, err := os.ReadFile(filepath.Join(repo, "go.mod"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("find out what the image is made of: %w", err)
	}
	return !slices.Equal(baseInputs.Requires(string(before)), baseInputs.Requires(string(now))), nil
}
