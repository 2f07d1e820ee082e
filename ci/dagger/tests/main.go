// Test the module netbox as other modules use it: as a dependency
//
// "dagger check -m ci/dagger/tests" runs all of them on one platform.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"dagger/netbox/tests/internal/dagger"
)

// Tests are tests of the module netbox.
type Tests struct{}

const platform = dagger.Platform("linux/amd64")

// limit bounds a request to a service.
const limit = time.Minute

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
		name, want, _ := strings.Cut(strings.TrimPrefix(reference, "http://"), "@")
		tag, ok := strings.CutPrefix(name, address+":")
		if !ok {
			return fmt.Errorf("got %s, want a tag of %s", reference, address)
		}
		tags = append(tags, tag)
		if err := readBack(ctx, "http://"+host+"/v2/linuxserver/netbox", tag, want); err != nil {
			return fmt.Errorf("%s: %w", reference, err)
		}
	}
	if slices.Sort(tags); !slices.Equal(tags, []string{"latest", "proof"}) {
		return fmt.Errorf("got the tags %q", tags)
	}
	return nil
}

// manifest is what is read of an index or of an image.
type manifest struct {
	Manifests []struct {
		Digest   string
		Platform struct{ OS, Architecture string }
	}
	Config struct{ Digest string }
	Layers []struct{ Digest string }
}

// readBack reads an index by its tag, and all that belongs to it.
func readBack(ctx context.Context, repository, tag, want string) error {
	var index manifest
	digest, err := get(ctx, repository+"/manifests/"+tag, &index)
	if err != nil {
		return err
	}
	if digest != want {
		return fmt.Errorf("the tag is at %s", digest)
	}
	found := false
	for _, m := range index.Manifests {
		var image manifest
		if digest, err = get(ctx, repository+"/manifests/"+m.Digest, &image); err != nil {
			return err
		}
		if digest != m.Digest {
			return fmt.Errorf("%s is in place of %s", digest, m.Digest)
		}
		if dagger.Platform(m.Platform.OS+"/"+m.Platform.Architecture) == platform {
			found = len(image.Layers) > 0
		}
		for _, blob := range append(image.Layers, image.Config) {
			if digest, err = get(ctx, repository+"/blobs/"+blob.Digest, nil); err != nil {
				return err
			}
			if digest != blob.Digest {
				return fmt.Errorf("%s is in place of %s", digest, blob.Digest)
			}
		}
	}
	if !found {
		return fmt.Errorf("there is no image for %s", platform)
	}
	return nil
}

// get reads an object of a registry and returns its digest.
func get(ctx context.Context, url string, into any) (digest string, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Accept", "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, */*")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("get %s: %s", url, resp.Status)
	}
	sum := sha256.New()
	body := io.TeeReader(resp.Body, sum)
	if into != nil {
		if err := json.NewDecoder(body).Decode(into); err != nil {
			return "", fmt.Errorf("read %s: %w", url, err)
		}
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return "", fmt.Errorf("read %s: %w", url, err)
	}
	return fmt.Sprintf("sha256:%x", sum.Sum(nil)), nil
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
	_, err = get(ctx, url+"/login/", nil)
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
