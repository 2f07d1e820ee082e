package publish_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/fstest"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/registry/registrytest"
)

// content is a test image to publish: an index of two small images. attach adds
// the documents.
type content struct {
	index  v1.ImageIndex
	digest string
	booted map[string]v1.Hash // by platform
}

var platforms = []v1.Platform{
	{OS: "linux", Architecture: "amd64"},
	{OS: "linux", Architecture: "arm64", Variant: "v8"},
}

// newContent returns a unique content. Each image has one layer of about size
// random bytes.
func newContent(t testing.TB, size int) content {
	t.Helper()
	c := content{booted: map[string]v1.Hash{}}
	var images []registry.PlatformImage
	for _, platform := range platforms {
		img := newImage(t, platform, size)
		digest, err := img.Digest()
		must(t, err)
		c.booted[registry.Key(platform)] = digest
		images = append(images, registry.PlatformImage{Platform: platform, Image: img})
	}
	var err error
	c.index, err = registry.Index(images, map[string]string{registry.TitleLabel: "netbox", registry.VersionLabel: "4.7.3"})
	must(t, err)
	digest, err := c.index.Digest()
	must(t, err)
	c.digest = digest.String()
	return c
}

func newImage(t testing.TB, platform v1.Platform, size int) v1.Image {
	t.Helper()
	data := make([]byte, size)
	random := rand.NewChaCha8([32]byte(fmt.Appendf(nil, "%032d", fresh.Add(1))))
	_, _ = random.Read(data) // never fails
	layer, err := registrytest.Files(fstest.MapFS{"file": {Data: data, Mode: 0o644}})
	must(t, err)
	// The wrapper hides an optional method that would return empty annotations.
	return registrytest.Image(t, platform, nil, struct{ v1.Layer }{layer})
}

// attach implements registry.Options.Attach: it returns a document for the
// index and one for its first image.
func attach(_ context.Context, idx v1.ImageIndex) (list []registry.Attachment, err error) {
	whole, err := idx.Digest()
	if err != nil {
		return nil, err
	}
	images, err := registry.Images(idx)
	if err != nil {
		return nil, err
	}
	first, err := images[0].Image.Digest()
	if err != nil {
		return nil, err
	}
	for _, subject := range []v1.Hash{whole, first} {
		a, err := registry.Attach(idx, subject, registry.Document{
			Type: "application/vnd.example.list", Data: fmt.Appendf(nil, "a list of %s", subject),
		})
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, nil
}

// subjects returns the digests that have a document attached.
func (c content) subjects() []v1.Hash {
	whole, _ := v1.NewHash(c.digest) // always valid: newContent formatted it
	return []v1.Hash{whole, c.booted["linux/amd64"]}
}

// targets returns two tags of the index and one of an image, in one repository.
func targets(t testing.TB, host, repository, version string) []registry.Target {
	t.Helper()
	var list []registry.Target
	for _, at := range []struct{ tag, platform string }{{version, ""}, {"amd64-latest", "linux/amd64"}, {"latest", ""}} {
		target, err := registry.ParseTarget(host + "/" + repository + ":" + at.tag)
		must(t, err)
		list = append(list, target.For(at.platform))
	}
	return list
}
