// Test the module netbox as other modules use it: as a dependency
//
// "dagger check -m ci/dagger/tests" runs all of them on one platform.
package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"dagger/netbox/tests/internal/dagger"
)

// Tests are tests of the module netbox.
type Tests struct{}

const platform = dagger.Platform("linux/amd64")

const (
	// limit bounds a request to a service.
	limit = time.Minute
	// readLimit bounds the reading of a published index with all its layers.
	readLimit = 5 * time.Minute
)

// Publish the image to a registry and read back what is there.
// +check
// +cache="session"
func (m *Tests) Publish(ctx context.Context) (err error) {
	registry, err := dag.Container().From("docker.io/library/registry:3").WithExposedPort(5000).
		AsService(dagger.ContainerAsServiceOpts{UseEntrypoint: true}).Start(ctx)
	if err != nil {
		return err
	}
	defer func() {
		_, stopErr := registry.Stop(context.WithoutCancel(ctx))
		err = errors.Join(err, stopErr)
	}()
	host, err := registry.Endpoint(ctx)
	if err != nil {
		return err
	}
	address := host + "/linuxserver/netbox"
	references, err := dag.Netbox().Publish(ctx, []string{"http://" + address}, dagger.NetboxPublishOpts{
		Tags: []string{"latest", "proof"}, Platforms: []dagger.Platform{platform},
	})
	if err != nil {
		return err
	}
	if len(references) != 2 {
		return fmt.Errorf("want a reference for each of 2 tags, got %q", references)
	}
	var tags []string
	for _, reference := range references {
		tagged, want, _ := strings.Cut(strings.TrimPrefix(reference, "http://"), "@")
		tag, ok := strings.CutPrefix(tagged, address+":")
		if !ok {
			return fmt.Errorf("got %s, want a tag of %s", reference, address)
		}
		tags = append(tags, tag)
		if err := readBack(ctx, tagged, want); err != nil {
			return fmt.Errorf("%s: %w", reference, err)
		}
	}
	if slices.Sort(tags); !slices.Equal(tags, []string{"latest", "proof"}) {
		return fmt.Errorf("got the tags %q", tags)
	}
	return nil
}

// readBack reads an index by its tag, and all that belongs to it.
func readBack(ctx context.Context, tagged, want string) error {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	tag, err := name.NewTag(tagged, name.Insecure)
	if err != nil {
		return err
	}
	index, err := remote.Index(tag, remote.WithContext(ctx))
	if err != nil {
		return err
	}
	if digest, err := index.Digest(); err != nil || digest.String() != want {
		return errors.Join(fmt.Errorf("the tag is at %s", digest), err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(manifest.Manifests, func(d v1.Descriptor) bool {
		return d.Platform != nil && d.Platform.String() == string(platform)
	}) {
		return fmt.Errorf("there is no image for %s", platform)
	}
	return validate.Index(index)
}

// Start a NetBox beside a container and ask it for its log-in page.
// +check
// +cache="session"
func (m *Tests) Service(ctx context.Context) (err error) {
	netbox, err := dag.Netbox().Netbox(dag.SetSecret("password", "a password for this test")).Start(ctx)
	if err != nil {
		return err
	}
	defer func() {
		_, stopErr := netbox.Stop(context.WithoutCancel(ctx), dagger.ServiceStopOpts{Kill: true})
		err = errors.Join(err, stopErr)
	}()
	url, err := netbox.Endpoint(ctx, dagger.ServiceEndpointOpts{Scheme: "http"})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err = dag.HTTP(url+"/login/", dagger.HTTPOpts{ExperimentalServiceHost: netbox}).Contents(ctx)
	return err
}

// Read the repository: as a dependency, the module reads its own.
// +check
func (m *Tests) Readme(ctx context.Context) error {
	return dag.Netbox().ReadmeCheck(ctx)
}

// Refuse a base that only a machine's own engine knows, and name what to pass.
// +check
// +cache="session"
func (m *Tests) Base(ctx context.Context) error {
	_, err := dag.Netbox().Build(dagger.NetboxBuildOpts{Base: "local"}).Entries(ctx)
	if err == nil {
		return errors.New(`the base "local" was not refused`)
	}
	if !strings.Contains(err.Error(), "--base-layout") {
		return fmt.Errorf("the refusal does not name --base-layout: %w", err)
	}
	return nil
}
