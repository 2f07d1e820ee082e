// Build, check, publish and document the NetBox image
//
// Everything that "go run ./ci" does, on Dagger: images for amd64 and arm64 are
// built, booted against a real PostgreSQL and Redis, checked, and pushed as one
// index. This module only calls the library under pipeline, which does the work.
package main

import (
	"context"
	"fmt"
	"os"

	"dagger/netbox/internal/dagger"

	"github.com/linuxserver/docker-netbox/pipeline/calls"
	engine "github.com/linuxserver/docker-netbox/pipeline/engine/dagger"
)

// Netbox is the NetBox image and everything around it.
type Netbox struct {
	// The repository.
	Source *dagger.Directory
}

func New(
	// The repository, .git included: the image's labels name the commit.
	// +defaultPath="/"
	// +ignore=["dist", "ci/dagger/internal", "ci/dagger/dagger.gen.go", "**/__pycache__"]
	source *dagger.Directory,
) *Netbox {
	return &Netbox{Source: source}
}

// Build the image of every platform and join them into one index.
//
// The result is an OCI layout: export it, or push it with any tool.
// +cache="session"
func (m *Netbox) Build(
	ctx context.Context,
	// Platforms to build for (default: linux/amd64 and linux/arm64).
	// +optional
	platforms []dagger.Platform,
	// Image to build on (default: the published base in versions.yml).
	// +optional
	base string,
	// NetBox release to build (default: the one pinned in versions.yml).
	// +optional
	release string,
) (*dagger.Directory, error) {
	call, err := m.call(ctx, platforms, base, release)
	if err != nil {
		return nil, err
	}
	dir, err := call.Build(ctx)
	if err != nil {
		return nil, err
	}
	return dag.CurrentModule().Workdir(dir), nil
}

// Container is the built image of one platform, to inspect or to build on.
// +cache="session"
func (m *Netbox) Container(
	ctx context.Context,
	// Platform to build for.
	// +default="linux/amd64"
	platform dagger.Platform,
	// Image to build on (default: the published base in versions.yml).
	// +optional
	base string,
	// NetBox release to build (default: the one pinned in versions.yml).
	// +optional
	release string,
) (*dagger.Container, error) {
	call, err := m.call(ctx, []dagger.Platform{platform}, base, release)
	if err != nil {
		return nil, err
	}
	id, err := call.Container(ctx)
	if err != nil {
		return nil, err
	}
	return dagger.Ref[*dagger.Container](dag, dagger.ID(id)), nil
}

// Lint fails on Go code that gofmt would change or vet warns about.
// +check
func (m *Netbox) Lint(ctx context.Context) error {
	call, err := m.call(ctx, nil, "", "")
	if err != nil {
		return err
	}
	return call.Lint(ctx)
}

// GraphCheck compares the image's init graph with the one that readme-vars.yml documents.
// +check
// +cache="session"
func (m *Netbox) GraphCheck(ctx context.Context) error {
	call, err := m.call(ctx, nil, "", "")
	if err != nil {
		return err
	}
	_, err = call.Graph(ctx, "d2")
	return err
}

// SmokeAmd64 boots the image for linux/amd64, checks NetBox and stops it.
// +check
// +cache="session"
func (m *Netbox) SmokeAmd64(ctx context.Context) error { return m.smoke(ctx, "linux/amd64") }

// SmokeArm64 boots the image for linux/arm64, checks NetBox and stops it.
// +check
// +cache="session"
func (m *Netbox) SmokeArm64(ctx context.Context) error { return m.smoke(ctx, "linux/arm64") }

func (m *Netbox) smoke(ctx context.Context, platform dagger.Platform) error {
	call, err := m.call(ctx, []dagger.Platform{platform}, "", "")
	if err != nil {
		return err
	}
	return call.Boot(ctx)
}

// ReadmeCheck fails if README.md or one of its pictures does not match readme-vars.yml and docs/.
// +check
func (m *Netbox) ReadmeCheck(ctx context.Context) error {
	call, err := m.call(ctx, nil, "", "")
	if err != nil {
		return err
	}
	return call.CheckReadme()
}

// Publish checks everything, pushes the index to every address and moves the tags there.
//
// It pushes exactly the images that were booted. The result is a reference with
// digest for each tag.
// +cache="session"
func (m *Netbox) Publish(
	ctx context.Context,
	// Address to push to, such as ghcr.io/linuxserver/netbox.
	addresses []string,
	// Tags to move (default: latest).
	// +optional
	tags []string,
	// Registries among the addresses that may fail, such as quay.io.
	// +optional
	optional []string,
	// User name, if there is only one registry.
	// +optional
	username string,
	// Password or token at that registry.
	// +optional
	password *dagger.Secret,
	// Docker's config.json with the credentials of several registries.
	// +optional
	config *dagger.Secret,
	// Private key to sign with, created by cosign or openssl.
	// +optional
	signKey *dagger.Secret,
	// Password of that key.
	// +optional
	signPassword *dagger.Secret,
	// Image to build on (default: the published base in versions.yml).
	// +optional
	base string,
	// NetBox release to build (default: the one pinned in versions.yml).
	// +optional
	release string,
) ([]string, error) {
	call, err := m.call(ctx, nil, base, release)
	if err != nil {
		return nil, err
	}
	with := calls.Credentials{Username: username}
	by := calls.Signing{}
	for _, s := range []struct {
		secret *dagger.Secret
		text   *string
	}{{password, &with.Password}, {config, &with.Config}, {signKey, &by.Key}, {signPassword, &by.Password}} {
		if s.secret == nil {
			continue
		}
		if *s.text, err = s.secret.Plaintext(ctx); err != nil {
			return nil, err
		}
	}
	return call.Publish(ctx, addresses, tags, optional, with, by)
}

// Readme writes README.md and the pictures in it from readme-vars.yml.
// +generate
func (m *Netbox) Readme(ctx context.Context) (*dagger.Changeset, error) {
	call, err := m.call(ctx, nil, "", "")
	if err != nil {
		return nil, err
	}
	files, err := call.Readme(ctx)
	if err != nil {
		return nil, err
	}
	after := m.Source
	for path, text := range files {
		after = after.WithNewFile(path, text)
	}
	return after.Changes(m.Source), nil
}

// Graph is the drawing of the image's init graph, as d2 text or as a picture.
// +cache="session"
func (m *Netbox) Graph(
	ctx context.Context,
	// Platform of the image to read.
	// +default="linux/amd64"
	platform dagger.Platform,
	// What to draw: d2 for its text, svg for the picture, svg-dark for the one on dark pages.
	// +default="d2"
	format string,
) (*dagger.File, error) {
	call, err := m.call(ctx, []dagger.Platform{platform}, "", "")
	if err != nil {
		return nil, err
	}
	file, err := call.Graph(ctx, format)
	if err != nil {
		return nil, err
	}
	return dag.CurrentModule().WorkdirFile(file), nil
}

// Report runs every check and returns the report, whether it passed or failed.
// +cache="session"
func (m *Netbox) Report(
	ctx context.Context,
	// Platforms to check (default: linux/amd64 and linux/arm64).
	// +optional
	platforms []dagger.Platform,
	// Image to build on (default: the published base in versions.yml).
	// +optional
	base string,
) (*dagger.Directory, error) {
	call, err := m.call(ctx, platforms, base, "")
	if err != nil {
		return nil, err
	}
	dir, err := call.Report(ctx)
	if err != nil {
		return nil, err
	}
	return dag.CurrentModule().Workdir(dir), nil
}

// Netbox runs a NetBox to try out, with its own PostgreSQL and Redis.
//
// Run it with "dagger call netbox --password env:PASSWORD up" and log in at
// http://localhost:8000 as admin. Its data is deleted when it stops.
// +cache="session"
func (m *Netbox) Netbox(
	ctx context.Context,
	// Password of the account admin.
	password *dagger.Secret,
	// Image to build on (default: the published base in versions.yml).
	// +optional
	base string,
) (*dagger.Service, error) {
	call, err := m.call(ctx, nil, base, "")
	if err != nil {
		return nil, err
	}
	text, err := password.Plaintext(ctx)
	if err != nil {
		return nil, err
	}
	id, err := call.NetBox(ctx, text)
	if err != nil {
		return nil, err
	}
	return dagger.Ref[*dagger.Service](dag, dagger.ID(id)), nil
}

// call brings the repository here and makes room for results, which Dagger
// takes from the working directory only.
func (m *Netbox) call(ctx context.Context, platforms []dagger.Platform, base, release string) (calls.Call, error) {
	repo, err := os.MkdirTemp("", "netbox-")
	if err != nil {
		return calls.Call{}, err
	}
	if _, err := m.Source.Export(ctx, repo); err != nil {
		return calls.Call{}, fmt.Errorf("bring the repository here: %w", err)
	}
	output, err := os.MkdirTemp(".", "output-")
	if err != nil {
		return calls.Call{}, err
	}
	call := calls.Call{
		Repo: repo, Output: output, Base: base, Release: release,
		Log: os.Stderr, Environ: os.Environ(), Connect: engine.Dial,
	}
	for _, p := range platforms {
		call.Platforms = append(call.Platforms, string(p))
	}
	return call, nil
}
