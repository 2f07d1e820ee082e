package local_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/enginetest"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
	"github.com/linuxserver/docker-netbox/pipeline/registry/registrytest"
)

// The kernel may refuse a lower directory that is another overlay's upper directory.
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

func TestLayersAreLaidOverEachOtherAsTheImageSays(t *testing.T) {
	p := newPod(t, newEngine(t, testCache(t)))
	img, err := mutate.AppendLayers(tiny(t),
		enginetest.Layer(t,
			enginetest.Entry{Name: "a/", Mode: 0o755}, enginetest.Entry{Name: "a/gone", Mode: 0o644}, enginetest.Entry{Name: "a/stays", Mode: 0o644},
			enginetest.Entry{Name: "b/", Mode: 0o755}, enginetest.Entry{Name: "b/hidden", Mode: 0o644},
			enginetest.Entry{Name: "c/", Mode: 0o755}, enginetest.Entry{Name: "c/dropped", Mode: 0o644},
			enginetest.Entry{Name: "private/", Mode: 0o700, UID: 911, GID: 911},
			enginetest.Entry{Name: "usr/lib/", Mode: 0o755}, enginetest.Entry{Name: "lib", Link: "usr/lib"}),
		enginetest.Layer(t,
			enginetest.Entry{Name: "a/", Mode: 0o755}, enginetest.Entry{Name: "a/.wh.gone"},
			enginetest.Entry{Name: "b/", Mode: 0o750}, enginetest.Entry{Name: "b/.wh..wh..opq"}, enginetest.Entry{Name: "b/new", Mode: 0o644},
			enginetest.Entry{Name: ".wh.c"}),
		// No entries for the directories: their owner and mode must stay.
		enginetest.Layer(t,
			enginetest.Entry{Name: "private/added", Mode: 0o644}, enginetest.Entry{Name: "tmp/added", Mode: 0o644},
			enginetest.Entry{Name: "b/added", Mode: 0o644}, enginetest.Entry{Name: "c/added", Mode: 0o644},
			enginetest.Entry{Name: "lib/linked", Mode: 0o644}))
	if err != nil {
		t.Fatal(err)
	}
	out := run(t, p, script(img, "main", "ls /a; print; ls /b; print; ls /c; print; ls /private; stat /private; stat /tmp; stat /b; stat /c; ls /usr/lib"))
	want := "stays\n\nadded\nnew\n\nadded\n\nadded\n/private 700 911:911\n/tmp 1777 0:0\n/b 750 0:0\n/c 755 0:0\nlinked\n"
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

func TestALayerCannotReachOutsideThroughALink(t *testing.T) {
	p, outside := newPod(t, newEngine(t, testCache(t))), t.TempDir()
	img, err := mutate.AppendLayers(tiny(t), enginetest.Layer(t,
		enginetest.Entry{Name: "trap", Link: outside}, enginetest.Entry{Name: "trap/file", Mode: 0o644, Content: "out"}))
	if err != nil {
		t.Fatal(err)
	}
	if got := run(t, p, script(img, "main", "cat /trap/file")); got != "out\n" {
		t.Errorf("inside, the file holds %q", got)
	}
	if files, _ := os.ReadDir(outside); len(files) > 0 {
		t.Errorf("the layer wrote %v outside", files)
	}
}

func TestALayerThatIsNotTheOneTheConfigNamesIsRefused(t *testing.T) {
	p := newPod(t, newEngine(t, testCache(t)))
	img, err := mutate.AppendLayers(tiny(t), enginetest.Layer(t, enginetest.Entry{Name: "file", Mode: 0o644, Content: "one"}))
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	named := &config.RootFS.DiffIDs[len(config.RootFS.DiffIDs)-1]
	named.Hex = strings.Repeat("ab", 32)
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first attempt must not be cached
		if _, err := p.Start(t.Context(), script(img, "main", "pid")); err == nil || !strings.Contains(err.Error(), "unpacking layer "+named.String()) {
			t.Errorf("err is %v, want one that names the layer", err)
		}
	}
}

// countedLayer counts how often its content is read.
type countedLayer struct {
	v1.Layer
	reads atomic.Int32
}

func (l *countedLayer) Uncompressed() (io.ReadCloser, error) {
	l.reads.Add(1)
	return l.Layer.Uncompressed()
}

func (l *countedLayer) DiffID() (v1.Hash, error) {
	l.reads.Add(1) // the DiffID of a layer from a registry or a layout is computed from its content
	return l.Layer.DiffID()
}

// A process that was just forked holds all open files of this one until its exec.
func TestLayersAreUnpackedWhileProgramsStart(t *testing.T) {
	p := newPod(t, newEngine(t, testCache(t)))
	stop := make(chan struct{})
	var starters sync.WaitGroup
	defer starters.Wait()
	defer close(stop)
	for range 4 {
		starters.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = exec.Command("true").Run()
				}
			}
		})
	}
	for range 6 {
		var layers []v1.Layer
		for range 6 {
			layers = append(layers, enginetest.Layer(t, enginetest.Entry{Name: "file", Mode: 0o644, Content: strings.Repeat(rand.Text(), 1<<14)}))
		}
		img, err := mutate.AppendLayers(tiny(t), layers...)
		if err != nil {
			t.Fatal(err)
		}
		run(t, p, script(img, "main", "print"))
	}
}

func TestAnUnpackedLayerIsNotReadAgain(t *testing.T) {
	p := newPod(t, newEngine(t, testCache(t)))
	layer := &countedLayer{Layer: enginetest.Layer(t, enginetest.Entry{Name: rand.Text(), Mode: 0o644})}
	img, err := mutate.AppendLayers(tiny(t), layer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := img.ConfigFile(); err != nil {
		t.Fatal(err)
	}
	layer.reads.Store(0)
	for range 3 {
		run(t, p, script(img, "main", "print"))
	}
	if n := layer.reads.Load(); n != 1 {
		t.Errorf("three starts read the layer %d times, want once", n)
	}
}
