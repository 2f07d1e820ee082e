package base

import (
	"flag"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

var soak = flag.Bool("soak", false, "make the base image of another architecture twice, which takes minutes")

func TestNativeProgramsMakeTheSameLayerAsTheEmulator(t *testing.T) {
	if !*soak {
		t.Skip("SKIPPED: -soak makes the base image of another architecture twice")
	}
	arch := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	dir := t.TempDir()
	b := &Builder{Source: "../..", Cache: dir, Suite: "trixie", CPU: map[string]string{"arm64": "cortex-a72"}, Log: t.Output()}
	apt, err := hostApt(t.Context(), b.Suite)
	if err != nil {
		t.Fatal(err)
	}
	native, err := b.nativePrograms(t.Context(), apt)
	if err != nil {
		t.Fatal(err)
	}
	digests := map[string]bool{}
	for name, programs := range map[string]string{"emulated": "", "native": native} {
		to, err := layout.Write(filepath.Join(dir, name), empty.Index)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.bootstrap(t.Context(), baseDebian(arch, apt), programs, to); err != nil {
			t.Fatal(err)
		}
		layer, err := onlyLayer(string(to))
		if err != nil {
			t.Fatal(err)
		}
		digest, err := layer.Digest()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %s", name, digest)
		digests[digest.String()] = true
	}
	if len(digests) != 1 {
		t.Error("the layers differ")
	}
}
