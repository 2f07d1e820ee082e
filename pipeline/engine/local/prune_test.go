package local_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
	"github.com/linuxserver/docker-netbox/pipeline/outdir/outdirtest"
)

// Every version has its own base, image and layers, on top of layers that all
// versions share. Some runs are killed while they write.
func TestDiskUseIsBoundedHoweverManyVersionsAreBuilt(t *testing.T) {
	const versions, apart = 40, 70 * time.Minute
	cache := t.TempDir()
	root := filepath.Join(cache, "local")
	for v := range versions {
		e, err := local.New(local.Options{Cache: cache})
		if err != nil {
			t.Fatal(err)
		}
		img := mutate.Annotations(empty.Image, map[string]string{"version": fmt.Sprint(v)}).(v1.Image)
		index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img})
		if err := local.LayBase(e, index); err != nil {
			t.Fatal(err)
		}
		names := []string{"images/" + fmt.Sprint(v), "layers/shared"}
		for i := range 5 {
			names = append(names, fmt.Sprintf("layers/%d-%d", v, i))
		}
		for _, name := range names {
			if err := local.MakeDir(filepath.Join(root, name), func(string) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		for _, killed := range []string{"images", "layers", "bases"} {
			if err := os.Mkdir(filepath.Join(root, killed, fmt.Sprint(".tmp-", v)), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}

		left := map[string][]string{}
		for kind, bound := range map[string]struct{ finished, unfinished int }{"images": {6, 3}, "layers": {24, 3}, "bases": {3, 1}} {
			all := outdirtest.Age(t, filepath.Join(root, kind), apart)
			left[kind] = slices.DeleteFunc(slices.Clone(all), func(name string) bool { return strings.HasPrefix(name, ".") })
			if finished, unfinished := len(left[kind]), len(all)-len(left[kind]); finished > bound.finished || unfinished > bound.unfinished {
				t.Fatalf("after %d versions, %d %s and %d unfinished ones are left: %q", v+1, finished, kind, unfinished, all)
			}
		}
		for i := max(0, v-3); i <= v; i++ { // the next run may need the newest ones
			if !slices.Contains(left["images"], fmt.Sprint(i)) || !slices.Contains(left["layers"], fmt.Sprintf("%d-4", i)) {
				t.Fatalf("after version %d, version %d is gone: %q", v, i, left)
			}
		}
		if !slices.Contains(left["layers"], "shared") {
			t.Fatalf("after version %d, the layer that all use is gone: %q", v, left["layers"])
		}
	}
}
