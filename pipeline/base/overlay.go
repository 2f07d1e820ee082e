package base

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/linuxserver/docker-netbox/pipeline/gotool"
)

// overlay is the layer of our own files.
type overlay struct {
	arch     string
	dir      string    // its files, laid out as in the image
	programs *programs // nil for none
	sources  string    // of apt; empty for none
}

// programs are the Go programs of the base image.
type programs struct {
	root string // of the module
	key  string // of all their sources and of the Go that compiles them
}

// rootfs is the directory of the files, under the root of the repository.
const rootfs = "pipeline/base/rootfs"

// installed says where the programs go in the image, by package.
var installed = map[string]string{
	"./pipeline/base/init": "init",
	"./pipeline/base/mods": "docker-mods",
}

// initNames are the other names by which init is run; it acts by the name.
var initNames = []string{
	"command/printcontenv", "command/s6-rc", "command/with-contenv",
	"usr/bin/printcontenv", "usr/bin/s6-rc", "usr/bin/with-contenv",
}

// mountPoints are the directories that the contract promises. Git keeps no
// empty ones.
var mountPoints = []string{"app", "config", "defaults", "lsiopy"}

// goPackage is one that the programs are made of, as "go list" prints it.
type goPackage struct {
	Dir                                 string
	GoFiles, IgnoredGoFiles, EmbedFiles []string
	Standard                            bool
	Module                              *struct {
		Path, Version, Dir string
		Main               bool
	}
}

// own reports whether the repository has the package.
func (p goPackage) own() bool { return p.Module != nil && p.Module.Main }

// goPackages lists all that the programs are made of.
func (b *Builder) goPackages(ctx context.Context) ([]goPackage, error) {
	args := []string{"list", "-deps", "-json=Dir,GoFiles,IgnoredGoFiles,EmbedFiles,Module,Standard"}
	args = append(args, slices.Sorted(maps.Keys(installed))...)
	list, err := goCommand(ctx, b.Source, args...)
	if err != nil {
		return nil, fmt.Errorf("listing the sources of the base image's programs: %w", err)
	}
	var found []goPackage
	for dec := json.NewDecoder(bytes.NewReader(list)); dec.More(); {
		var pkg goPackage
		if err := dec.Decode(&pkg); err != nil {
			return nil, fmt.Errorf("listing the sources of the base image's programs: %w", err)
		}
		found = append(found, pkg)
	}
	return found, nil
}

// programs finds every source file that the programs are made of.
func (b *Builder) programs(ctx context.Context) (*programs, error) {
	packages, err := b.goPackages(ctx)
	if err != nil {
		return nil, err
	}
	version, err := goCommand(ctx, b.Source, "env", "GOVERSION")
	if err != nil {
		return nil, fmt.Errorf("asking Go for its version: %w", err)
	}
	inputs := []any{version, installed}
	for _, pkg := range packages {
		switch {
		case pkg.Standard || pkg.Module == nil:
		case !pkg.own():
			inputs = append(inputs, pkg.Module.Path, pkg.Module.Version)
		default:
			for _, name := range slices.Concat(pkg.GoFiles, pkg.IgnoredGoFiles, pkg.EmbedFiles) {
				data, err := os.ReadFile(filepath.Join(pkg.Dir, name))
				if err != nil {
					return nil, fmt.Errorf("reading a source of the base image's programs: %w", err)
				}
				inputs = append(inputs, name, data)
			}
		}
	}
	return &programs{root: b.Source, key: hashOf(inputs...)}, nil
}

// build cross-compiles the programs.
func (p *programs) build(ctx context.Context, arch string) ([]entry, error) {
	packages := slices.Sorted(maps.Keys(installed))
	built := make([]entry, len(packages))
	g, ctx := errgroup.WithContext(ctx)
	for i, pkg := range packages {
		g.Go(func() error {
			data, err := gotool.Bytes(ctx, gotool.Compile, gotool.Program{Dir: p.root, Package: pkg, GOARCH: arch})
			built[i] = entry{Path: installed[pkg], Mode: 0o755, Data: data}
			return err
		})
	}
	return built, g.Wait()
}

// goCommand asks the go command about what is compiled.
func goCommand(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	return output(ctx, cmd)
}

// key identifies what layer makes.
func (o overlay) key() (string, error) {
	entries, err := o.files()
	if err != nil {
		return "", err
	}
	programs := ""
	if o.programs != nil {
		programs = o.programs.key
	}
	return hashOf(entries, programs, o.sources, o.arch, epoch, layerFormat), nil
}

// layer makes the layer: the same inputs give the same bytes.
func (o overlay) layer(ctx context.Context) (v1.Layer, error) {
	entries, err := o.files()
	if err != nil {
		return nil, err
	}
	if o.programs != nil {
		built, err := o.programs.build(ctx, o.arch)
		if err != nil {
			return nil, err
		}
		entries = append(entries, built...)
		for _, path := range initNames {
			entries = append(entries, entry{Path: path, Link: "/init"})
		}
		for _, path := range mountPoints {
			entries = append(entries, entry{Path: path, Mode: fs.ModeDir | 0o755})
		}
		// Whoever the container runs as, /init has its state there.
		entries = append(entries, entry{Path: "run", Mode: fs.ModeDir | fs.ModeSticky | 0o777})
	}
	if o.sources != "" {
		entries = append(entries, entry{Path: "etc/apt/sources.list.d/debian.list", Mode: 0o644, Data: []byte(o.sources)})
	}
	data, err := pack(entries)
	if err != nil {
		return nil, fmt.Errorf("packing the layer of %s: %w", o.dir, err)
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.DefaultCompression), tarball.WithCompressedCaching)
}

// entry is a file of a layer. Its fields make part of a key.
type entry struct {
	Path string
	Mode fs.FileMode
	Link string // target, for a symbolic link
	Data []byte
}

// files reads the overlay's own tree. Of a mode only "executable" counts, as
// in git; directories are left to who unpacks the layer, since those of Debian
// must keep their modes.
func (o overlay) files() ([]entry, error) {
	var entries []entry
	root := os.DirFS(o.dir)
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := fs.ReadLink(root, path)
			entries = append(entries, entry{Path: path, Link: target})
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if info.Mode()&0o111 != 0 {
			mode = 0o755
		}
		data, err := fs.ReadFile(root, path)
		entries = append(entries, entry{Path: path, Mode: mode, Data: data})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the files of the base image in %s: %w", o.dir, err)
	}
	return entries, nil
}

// pack makes an archive of entries, sorted, all root's and all of one age.
func pack(entries []entry) ([]byte, error) {
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.Path, b.Path) })
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		h := &tar.Header{Name: e.Path, Mode: int64(e.Mode.Perm()), ModTime: epoch, Format: tar.FormatPAX, Size: int64(len(e.Data)), Typeflag: tar.TypeReg}
		switch {
		case e.Link != "":
			h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.Link, 0o777
		case e.Mode.IsDir():
			h.Typeflag, h.Name = tar.TypeDir, e.Path+"/"
			if e.Mode&fs.ModeSticky != 0 {
				h.Mode |= 0o1000
			}
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.Data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
