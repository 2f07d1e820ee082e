package initgraph_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/linuxserver/docker-netbox/pipeline/initgraph"
)

// image returns an image with the given layers, each a list of archive entries. The
// Linkname of a regular file is its content.
func image(t *testing.T, layers ...[]tar.Header) v1.Image {
	t.Helper()
	img := empty.Image
	for _, entries := range layers {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		w := tar.NewWriter(z)
		for _, h := range entries {
			content := ""
			if h.Typeflag == 0 || h.Typeflag == tar.TypeReg {
				content, h.Linkname, h.Typeflag = h.Linkname, "", tar.TypeReg
				h.Size = int64(len(content))
			}
			if err := errors.Join(w.WriteHeader(&h), func() error { _, err := io.WriteString(w, content); return err }()); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(w.Close(), z.Close()); err != nil {
			t.Fatal(err)
		}
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
		if err == nil {
			img, err = mutate.AppendLayers(img, l)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return img
}

func entries(files fstest.MapFS) []tar.Header {
	var list []tar.Header
	for name, f := range files {
		list = append(list, tar.Header{Name: name, Mode: int64(f.Mode.Perm()), Linkname: string(f.Data)})
	}
	slices.SortFunc(list, func(a, b tar.Header) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// An upper layer removes a dependency, replaces a service and adds one, like an
// image on its base.
func TestFromImageReadsTheFlattenedLayers(t *testing.T) {
	base := with(map[string]string{
		"init-config-end/dependencies.d/init-mistake": "",
		"init-gone/type":            "oneshot\n",
		"svc-netbox/type":           "oneshot\n",
		"svc-netbox/up":             "old",
		"svc-netbox/down":           "old",
		"user/contents.d/init-gone": "",
	})
	d := services
	upper := []tar.Header{
		{Name: d + "init-config-end/dependencies.d/.wh.init-mistake"},
		{Name: "./" + d + ".wh.init-gone"},
		{Name: d + "user/contents.d/.wh.init-gone"},
		{Name: d + "svc-netbox", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: d + "svc-netbox/type", Linkname: "longrun\n", Mode: 0o644},
		{Name: d + "svc-netbox/run", Linkname: "#!/bin/bash\n", Mode: 0o755},
		{Name: d + "svc-netbox/notification-fd", Linkname: "3", Mode: 0o644},
		{Name: d + "svc-netbox/dependencies.d/svc-netbox-prepare", Mode: 0o644},
		{Name: d + "svc-netbox/.wh..wh..opq"}, // applies to lower layers, at any position
		{Name: "bin", Typeflag: tar.TypeSymlink, Linkname: "/usr/bin"},
	}
	img := image(t, entries(base), upper)
	found, tree, err := initgraph.FromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	if drifts := initgraph.Compare(parse(t, golden(t)), found); len(drifts) > 0 {
		t.Errorf("drift: %v", drifts)
	}
	if s := tree.Service("svc-netbox"); s.NotificationFD != 3 || s.Down != nil {
		t.Errorf("svc-netbox is %+v", s)
	}
	root, err := initgraph.OpenImage(img)
	if err != nil {
		t.Fatal(err)
	}
	if err := initgraph.Check(root); err != nil {
		t.Error(err)
	}
}

func TestWhatAFileReplacedStaysGoneBelowADirectory(t *testing.T) {
	root, err := initgraph.OpenImage(image(t,
		[]tar.Header{{Name: "x/type", Linkname: "oneshot", Mode: 0o644}},
		[]tar.Header{{Name: "x", Linkname: "a file", Mode: 0o644}},
		[]tar.Header{{Name: "x", Typeflag: tar.TypeDir, Mode: 0o755}},
	))
	if err != nil {
		t.Fatal(err)
	}
	if names, err := fs.ReadDir(root, "x"); err != nil || len(names) > 0 {
		t.Errorf("got %v, %v, want an empty directory", names, err)
	}
}

func TestOpenImageIsAFileSystem(t *testing.T) {
	long := strings.Repeat("x", 1000)
	img := image(t,
		[]tar.Header{
			{Name: "etc/s6-overlay/file", Linkname: long, Mode: 0o600},
			{Name: "usr/bin/program", Linkname: long, Mode: 0o755},
			{Name: "usr/share/data", Linkname: long, Mode: 0o644},
			{Name: "was/file/below", Linkname: "x", Mode: 0o644},
			{Name: "was-file", Linkname: "x", Mode: 0o644},
		},
		[]tar.Header{
			{Name: "usr/bin/hard", Typeflag: tar.TypeLink, Linkname: "usr/bin/program", Mode: 0o755},
			{Name: "bin", Typeflag: tar.TypeSymlink, Linkname: "usr/bin"},
			{Name: "opt/links/up", Typeflag: tar.TypeSymlink, Linkname: "../../../../bin/program"},
			{Name: "loop", Typeflag: tar.TypeSymlink, Linkname: "/loop"},
			{Name: "dangling", Typeflag: tar.TypeSymlink, Linkname: "/nowhere"},
			{Name: "was/file", Linkname: "now", Mode: 0o755},
			{Name: "was-file/now", Linkname: "dir", Mode: 0o755},
		},
	)
	root, err := initgraph.OpenImage(img)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := fs.ReadFile(root, "etc/s6-overlay/file"); err != nil || string(text) != long {
		t.Errorf("a service file: %d bytes, %v", len(text), err)
	}
	for _, name := range []string{"bin/program", "bin/hard", "opt/links/up"} {
		info, err := fs.Stat(root, name)
		if err != nil || info.Mode() != 0o755 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		if text, err := fs.ReadFile(root, name); len(text) != 256 || err == nil || !strings.Contains(err.Error(), "content was not kept") {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
	}
	if text, err := fs.ReadFile(root, "usr/share/data"); len(text) != 0 || err == nil {
		t.Errorf("data: %d bytes, %v", len(text), err)
	}
	for _, name := range []string{"dangling", "was/file/below", "usr/nosuch"} {
		if _, err := fs.Stat(root, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := fs.Stat(root, "loop"); err == nil || !strings.Contains(err.Error(), "too many symbolic links") {
		t.Errorf("loop: %v", err)
	}
	if info, err := fs.Stat(root, "was-file/now"); err != nil || info.Size() != 3 {
		t.Errorf("a file that became a directory: %v", err)
	}
	if err := fstest.TestFS(mustSub(t, root, "etc"), "s6-overlay/file"); err != nil {
		t.Error(err)
	}
}

func mustSub(t *testing.T, root fs.FS, dir string) fs.FS {
	t.Helper()
	sub, err := fs.Sub(root, dir)
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

func TestFromImageSaysWhichLayerIsBroken(t *testing.T) {
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("this is no archive, " + strings.Repeat("x", 1024))), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(image(t, entries(rootFS())), l)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := initgraph.FromImage(img); err == nil || !strings.HasPrefix(err.Error(), "reading layer 2 of 2 of the image: ") {
		t.Error(err)
	}
}

func TestAnImageWhoseLayersAreNotWhatItsConfigurationSaysIsRefused(t *testing.T) {
	good := image(t, entries(rootFS()), []tar.Header{{Name: "extra", Linkname: "text"}})
	for name, tt := range map[string]struct {
		change func(config *v1.ConfigFile)
		want   string
	}{
		"another layer": {func(c *v1.ConfigFile) { c.RootFS.DiffIDs[1] = c.RootFS.DiffIDs[0] }, "layer 2 of 2 of the image unpacks to sha256:"},
		"no layer":      {func(c *v1.ConfigFile) { c.RootFS.DiffIDs = c.RootFS.DiffIDs[:1] }, "the image has 2 layers, but its configuration names 1"},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := good.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			config = config.DeepCopy()
			tt.change(config)
			img, err := mutate.ConfigFile(good, config)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := initgraph.FromImage(img); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, want %s…", err, tt.want)
			}
		})
	}
}
