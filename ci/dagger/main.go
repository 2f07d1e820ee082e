// Build, check, publish and document the NetBox image
//
// Everything that "go run ./ci" does, on Dagger: images for amd64 and arm64 are
// built, booted against a real PostgreSQL and Redis, checked, and pushed as one
// index. This module only calls the library under pipeline, which does the work.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"dagger/netbox/internal/dagger"

	engine "github.com/linuxserver/docker-netbox/pipeline/engine/dagger"
	"github.com/linuxserver/docker-netbox/pipeline/module"
)

// Netbox is the NetBox image and everything around it.
type Netbox struct {
	// The repository.
	Source *dagger.Directory
	// +private
	BaseLayout *dagger.Directory
	// +private
	BaseContainer *dagger.Container
	// +private
	Golang *dagger.Container
}

func New(
	// The repository, .git included: the image's labels name the commit.
	// +defaultPath="/"
	// +ignore=[".git/index", ".git/logs", ".git/*_HEAD", ".git/*_EDITMSG", "dist", "ci/dagger/**/internal", "ci/dagger/**/dagger.gen.go", "**/__pycache__"]
	source *dagger.Directory,
	// Base image as an OCI layout, such as "go run ./ci" leaves in its cache; --base goes before it.
	// +optional
	baseLayout *dagger.Directory,
	// Base image as a container, of the one platform that is built for; --base goes before it.
	// +optional
	baseContainer *dagger.Container,
	// Container to compile Go programs in; docker.io/library/golang of the version in go.mod unless given.
	// +optional
	golang *dagger.Container,
) *Netbox {
	return &Netbox{Source: source, BaseLayout: baseLayout, BaseContainer: baseContainer, Golang: golang}
}

// Build the image of every platform and join them into one index.
//
// The result is an OCI layout: export it, or push it with any tool. The same
// call within ten minutes gets the same result, whatever a tag names by then.
// +cache="10m"
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
	dir, err := with(ctx, m, platforms, base, release, module.Call.Build)
	return dag.CurrentModule().Workdir(dir), err
}

// Build the image of one platform, to look around in or to go on from.
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
	id, err := with(ctx, m, []dagger.Platform{platform}, base, release, module.Call.Container)
	return dagger.Ref[*dagger.Container](dag, dagger.ID(id)), err
}

// Check Go code, workflows and shell scripts with linters.
// +check
func (m *Netbox) Lint(ctx context.Context) error {
	call, err := m.files().call(ctx, nil, "", "")
	if err != nil {
		return err
	}
	return call.Lint(ctx)
}

// Compare the image's init graph with the one that readme-vars.yml documents.
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

// Boot the image for linux/amd64, check NetBox and stop it.
// +check
// +cache="session"
func (m *Netbox) SmokeAmd(ctx context.Context) error {
	return m.Boot(ctx, []dagger.Platform{"linux/amd64"}, "", "")
}

// Boot the image for linux/arm64, check NetBox and stop it.
// +check
// +cache="session"
func (m *Netbox) SmokeArm(ctx context.Context) error {
	return m.Boot(ctx, []dagger.Platform{"linux/arm64"}, "", "")
}

// Boot the image of every platform, check NetBox and stop it.
// +cache="session"
func (m *Netbox) Boot(
	ctx context.Context,
	// Platforms to boot; linux/amd64 and linux/arm64 unless given.
	// +optional
	platforms []dagger.Platform,
	// Image to build on; the published base that versions.yml names unless given.
	// +optional
	base string,
	// NetBox release to build; the one that versions.yml pins unless given.
	// +optional
	release string,
) error {
	call, err := m.call(ctx, platforms, base, release)
	if err != nil {
		return err
	}
	return call.Boot(ctx)
}

// Compare README.md and its pictures with what readme-vars.yml makes of them.
// +check
func (m *Netbox) ReadmeCheck(ctx context.Context) error {
	call, err := m.files().call(ctx, nil, "", "")
	if err != nil {
		return err
	}
	return call.CheckReadme()
}

// Check everything, push the index to every address and move the tags there.
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
	// Platforms to publish; linux/amd64 and linux/arm64 unless given.
	// +optional
	platforms []dagger.Platform,
	// Image to build on; the published base that versions.yml names unless given.
	// +optional
	base string,
	// NetBox release to build (default: the one pinned in versions.yml).
	// +optional
	release string,
) ([]string, error) {
	var err error
	credentials, key := module.Credentials{Username: username}, module.Signing{}
	for _, s := range []struct {
		secret *dagger.Secret
		text   *string
	}{{password, &credentials.Password}, {config, &credentials.Config}, {signKey, &key.Key}, {signPassword, &key.Password}} {
		if s.secret == nil {
			continue
		}
		if *s.text, err = s.secret.Plaintext(ctx); err != nil {
			return nil, err
		}
	}
	return with(ctx, m, platforms, base, release, func(call module.Call, ctx context.Context) ([]string, error) {
		return call.Publish(ctx, addresses, tags, optional, credentials, key)
	})
}

// Write README.md and the pictures in it from readme-vars.yml.
// +generate
func (m *Netbox) Readme(ctx context.Context) (*dagger.Changeset, error) {
	m = m.files()
	files, err := with(ctx, m, nil, "", "", module.Call.Readme)
	if err != nil {
		return nil, err
	}
	after := m.Source
	for path, text := range files {
		after = after.WithNewFile(path, text)
	}
	return after.Changes(m.Source), nil
}

// Draw the image's init graph, as d2 text or as a picture.
// +cache="session"
func (m *Netbox) Graph(
	ctx context.Context,
	// Platform of the image to read.
	// +default="linux/amd64"
	platform dagger.Platform,
	// What to draw: d2 for its text, svg for the picture, svg-dark for the one on dark pages.
	// +default="d2"
	format string,
	// Image to build on; the published base that versions.yml names unless given.
	// +optional
	base string,
	// NetBox release to build; the one that versions.yml pins unless given.
	// +optional
	release string,
) (*dagger.File, error) {
	file, err := with(ctx, m, []dagger.Platform{platform}, base, release, func(call module.Call, ctx context.Context) (string, error) {
		return call.Graph(ctx, format)
	})
	return dag.CurrentModule().WorkdirFile(file), err
}

// Do all that a check does and leave its report, red or green.
// +cache="session"
func (m *Netbox) Report(
	ctx context.Context,
	// Platforms to check (default: linux/amd64 and linux/arm64).
	// +optional
	platforms []dagger.Platform,
	// Image to build on (default: the published base in versions.yml).
	// +optional
	base string,
	// NetBox release to build; the one that versions.yml pins unless given.
	// +optional
	release string,
) (*dagger.Directory, error) {
	dir, err := with(ctx, m, platforms, base, release, module.Call.Report)
	return dag.CurrentModule().Workdir(dir), err
}

// Run a NetBox to click around in, with a PostgreSQL and a Redis of its own.
//
// Run it with "dagger call netbox --password env://PASSWORD up" and log in at
// http://localhost:8000 as admin. What is entered is gone with it.
// +cache="session"
func (m *Netbox) Netbox(
	ctx context.Context,
	// Password of the account admin.
	password *dagger.Secret,
	// Image to build on (default: the published base in versions.yml).
	// +optional
	base string,
	// NetBox release to build; the one that versions.yml pins unless given.
	// +optional
	release string,
) (*dagger.Service, error) {
	call, err := m.call(ctx, nil, base, release)
	if err != nil {
		return nil, err
	}
	text, err := password.Plaintext(ctx)
	if err != nil {
		return nil, err
	}
	id, err := call.NetBox(ctx, text)
	return dagger.Ref[*dagger.Service](dag, dagger.ID(id)), err
}

// files is the module without the history, for what does not depend on it:
// .git changes with every "git status".
func (m *Netbox) files() *Netbox {
	without := *m
	without.Source = m.Source.WithoutDirectory(".git")
	return &without
}

// with prepares a call and has its result from one of its methods. Of what this is
// made into, Dagger asks for nothing where there is an error.
func with[T any](ctx context.Context, m *Netbox, platforms []dagger.Platform, base, release string, do func(module.Call, context.Context) (T, error)) (result T, err error) {
	call, err := m.call(ctx, platforms, base, release)
	if err != nil {
		return result, err
	}
	return do(call, ctx)
}

// call brings the repository here and makes room for results, which Dagger
// takes from the working directory only.
func (m *Netbox) call(ctx context.Context, platforms []dagger.Platform, base, release string) (module.Call, error) {
	call := module.Call{Base: base, Release: release, Log: os.Stderr, Environ: os.Environ(), Connect: engine.Dial}
	for _, p := range platforms {
		call.Platforms = append(call.Platforms, string(p))
	}
	work, err := os.MkdirTemp("", "netbox-")
	if err != nil {
		return call, err
	}
	call.Repo = filepath.Join(work, "repository")
	if _, err := m.Source.Export(ctx, call.Repo); err != nil {
		return call, fmt.Errorf("bring the repository here: %w", err)
	}
	if call.Output, err = os.MkdirTemp(".", "output-"); err != nil {
		return call, err
	}
	switch {
	case base != "":
	case m.BaseLayout != nil && m.BaseContainer != nil:
		return call, errors.New("read the base image: --base-layout and --base-container exclude each other: pass one")
	case m.BaseLayout != nil:
		call.Layout = filepath.Join(work, "base")
		if _, err := m.BaseLayout.Export(ctx, call.Layout); err != nil {
			return call, fmt.Errorf("bring the base image here: %w", err)
		}
	case m.BaseContainer != nil:
		call.Archive = filepath.Join(work, "base.tar")
		if _, err := m.BaseContainer.AsTarball().Export(ctx, call.Archive); err != nil {
			return call, fmt.Errorf("bring the base image here: %w", err)
		}
	}
	if m.Golang != nil {
		id, err := m.Golang.ID(ctx)
		if err != nil {
			return call, err
		}
		call.Go = string(id)
	}
	return call, call.Check()
}
