package layers

import (
	"maps"
	"slices"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/linuxserver/docker-netbox/pipeline/engine/enginetest"
)

// A real engine with its own certificates left these entries in a layer.
func TestLinksToAnEnginesCertificatesAreRemoved(t *testing.T) {
	base := enginetest.Layer(t,
		enginetest.Entry{Name: "etc/ssl/certs/", Mode: 0o755},
		enginetest.Entry{Name: "usr/local/share/ca-certificates/copied.crt", Mode: 0o644, Content: "certificate"},
	)
	left := []enginetest.Entry{
		{Name: "etc/", Mode: 0o755},
		{Name: "etc/ssl/", Mode: 0o755},
		{Name: "etc/ssl/certs/", Mode: 0o755},
		{Name: "etc/ssl/certs/6ca38420.0", Mode: 0o777, Link: "engine.pem"},
		{Name: "etc/ssl/certs/engine.pem", Mode: 0o777, Link: "/usr/local/share/ca-certificates/engine.crt"},
	}
	for name, test := range map[string]struct {
		own  []enginetest.Entry
		want []string
	}{
		"the engine's only":      {append(slices.Clone(left), enginetest.Entry{Name: "run", Mode: 0o644}), []string{"run"}},
		"others in etc":          {append(slices.Clone(left), enginetest.Entry{Name: "etc/ran", Mode: 0o644}), []string{"etc", "etc/ran"}},
		"a certificate's copied": {append(slices.Clone(left), enginetest.Entry{Name: "etc/ssl/certs/copied.pem", Link: "/usr/local/share/ca-certificates/copied.crt"}), []string{"etc", "etc/ssl", "etc/ssl/certs", "etc/ssl/certs/copied.pem"}},
	} {
		img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
		for _, l := range []v1.Layer{base, enginetest.Layer(t, test.own...)} {
			var err error
			if img, err = mutate.Append(img, mutate.Addendum{Layer: l}); err != nil {
				t.Fatal(err)
			}
		}
		out, err := WithTimes(img, 1, time.Unix(1_700_000_000, 0), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		layers, err := out.Layers()
		if err != nil {
			t.Fatal(err)
		}
		got, err := headers(layers[1])
		if err != nil {
			t.Fatal(err)
		}
		if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, test.want) {
			t.Errorf("%s: the layer has %q, want %q", name, names, test.want)
		}
	}
}
