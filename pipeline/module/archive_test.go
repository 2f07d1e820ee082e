package module

import (
	"archive/tar"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/enginetest"
)

// Dagger passes a container as the archive of its image.
func TestAContainerIsABase(t *testing.T) {
	arm64 := v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
	img, err := engine.ImageFor(enginetest.Base(t, arm64), arm64)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	l, err := layout.Write(filepath.Join(dir, "image"), empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "base.tar"))
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(f)
	if err := errors.Join(l.AppendImage(img), w.AddFS(os.DirFS(filepath.Join(dir, "image"))), w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	base, err := Call{Archive: f.Name()}.base()
	if err != nil {
		t.Fatal(err)
	}
	index, err := layout.ImageIndexFromPath(strings.TrimPrefix(base, "oci:"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := engine.ImageFor(index, arm64); err != nil {
		t.Error(err)
	}
}
