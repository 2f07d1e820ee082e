package local_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/enginetest"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
	"github.com/linuxserver/docker-netbox/pipeline/registry/registrytest"
)

// A kernel may refuse a layer to an overlay while it is still being written in
// another.
func TestALayerIsFreeOnceItIsUnpacked(t *testing.T) {
	e := newEngine(t, testCache(t))
	for range 5 {
		var layers []v1.Layer
		for i := range 4 {
			layers = append(layers, enginetest.Layer(t, enginetest.Entry{Name: fmt.Sprint("file", i), Mode: 0o644, Content: rand.Text()}))
		}
		dir := t.TempDir()
		for _, name := range []string{"root", "upper", "work"} {
			if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := local.UnpackAndMount(t.Context(), e, registrytest.Image(t, native, nil, layers...), dir); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAContainerNeedsAnImageWithSomethingInIt(t *testing.T) {
	p := newPod(t, newEngine(t, testCache(t)))
	for want, img := range map[string]v1.Image{
		"container main: it has no image":         nil,
		"container main: the image has no layers": registrytest.Image(t, native, nil),
	} {
		_, err := p.Start(t.Context(), engine.Container{Name: "main", Image: img})
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
