package imagesize_test

import (
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/linuxserver/docker-netbox/pipeline/imagesize"
)

// image returns an image with a layer for each instruction, of 1, 2, 4 … bytes.
func image(t *testing.T, layers ...v1.History) v1.Image {
	t.Helper()
	img := v1.Image(empty.Image)
	for i, h := range layers {
		var err error
		addendum := mutate.Addendum{History: h}
		if !h.EmptyLayer {
			addendum.Layer = static.NewLayer([]byte(strings.Repeat("x", 1<<i)), types.OCILayer)
		}
		if img, err = mutate.Append(img, addendum); err != nil {
			t.Fatal(err)
		}
	}
	return img
}

func TestEveryLayerCountsInOneGroup(t *testing.T) {
	layers, err := imagesize.Layers(image(t,
		v1.History{CreatedBy: "mmdebstrap trixie"},
		v1.History{CreatedBy: "COPY root/ /"},
		v1.History{CreatedBy: "RUN |1 QEMU_CPU= /bin/sh -c /build/packages run # buildkit"},
		v1.History{CreatedBy: "ENV A=1", EmptyLayer: true},
		v1.History{CreatedBy: "COPY /lsiopy /lsiopy # buildkit"},
		v1.History{CreatedBy: "COPY /netbox / # buildkit"},
		v1.History{CreatedBy: "COPY /opt/netbox/static /opt/netbox/static # buildkit"},
		v1.History{CreatedBy: "COPY /overlay/ / # buildkit"},
		v1.History{CreatedBy: "COPY /build_version /build_version # buildkit"},
	))
	if err != nil {
		t.Fatal(err)
	}
	got := imagesize.Groups(layers)
	want := []imagesize.Group{
		{Name: "base", Size: 1 + 2}, {Name: "packages", Size: 4}, {Name: "Python", Size: 16},
		{Name: "NetBox", Size: 32}, {Name: "static", Size: 64}, {Name: "rest", Size: 128 + 256},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestAnImageWithoutHistoryHasNoGroups(t *testing.T) {
	img, err := mutate.ConfigFile(image(t, v1.History{CreatedBy: "a"}, v1.History{CreatedBy: "b"}), &v1.ConfigFile{})
	if err != nil {
		t.Fatal(err)
	}
	layers, err := imagesize.Layers(img)
	if got := imagesize.Groups(layers); err != nil || got != nil {
		t.Errorf("got %v, %v, want none", got, err)
	}
}
