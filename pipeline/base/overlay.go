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

// overlay describes the layer of files from this repository.
type overlay struct {
	arch     string
	dir      string    // root of the files, laid out as in the image
	programs *programs // nil for none
	sources  string    // of apt; empty for none
}

// programs are the Go programs of the base image.
type programs struct {
	root string // of the module
	key  string // hash of their sources, modules and Go version
}

// rootfs is the directory of the base image's files in the repository.
const rootfs = "pipeline/base/rootfs"

// programPaths maps the package of each program to its path in the image.
var programPaths = map[string]string{
	"./pipeline/base/init": "init",
	"./pipeline/base/mods": "docker-mods",
}

// initLinks are links to init, which chooses its function by the name it is run as.
var initLinks = []string{
	"command/printcontenv", "command/s6-rc", "command/with-contenv",
	"usr/bin/printcontenv", "usr/bin/s6-rc", "usr/bin/with-contenv",
}

// mountPoints are the directories that the contract requires. They are listed here
// because Git does not store empty directories.
var mountPoints = []string{"app", "config", "defaults", "lsiopy"}

// goPackage is a package compiled into the programs, as "go list" prints it.
type goPackage struct {
	Dir                                 string
	GoFiles, IgnoredGoFiles, EmbedFiles []string
	Standard                            bool
	Module                              *struct {
		Path, Version, Dir string
		Main               bool
	}
}

// inRepository reports whether the package is part of the repository.
func (p goPackage) inRepository() bool { return p.Module != nil && p.Module.Main }

// goPackages lists the programs' packages and all that they import.
func (b *Builder) goPackages(ctx context.Context) ([]goPackage, error) {
	args := []string{"list", "-deps", "-json=Dir,GoFiles,IgnoredGoFiles,EmbedFiles,Module,Standard"}
	args = append(args, slices.Sorted(maps.Keys(programPaths))...)
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

// programs computes the key of the programs from everything compiled into them.
func (b *Builder) programs(ctx context.Context) (*programs, error) {
	packages, err := b.goPackages(ctx)
	if err != nil {
		return nil, err
	}
	version, err := goCommand(ctx, b.Source, "env", "GOVERSION")
	if err != nil {
		return nil, fmt.Errorf("asking Go for its version: %w", err)
	}
	inputs := []any{version, programPaths}
	for _, pkg := range packages {
		switch {
		case pkg.Standard || pkg.Module == nil:
		case !pkg.inRepository():
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
	packages := slices.Sorted(maps.Keys(programPaths))
	built := make([]entry, len(packages))
	g, ctx := errgroup.WithContext(ctx)
	for i, pkg := range packages {
		g.Go(func() error {
			data, err := gotool.Bytes(ctx, gotool.Compile, gotool.Program{Dir: p.root, Package: pkg, GOARCH: arch})
			built[i] = entry{Path: programPaths[pkg], Mode: 0o755, Data: data}
			return err
		})
	}
	return built, g.Wait()
}

// goCommand runs a go command for Linux without cgo, as the programs are compiled.
func goCommand(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	return output(ctx, cmd)
}

// key returns a hash of the inputs of layer.
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

// layer builds the layer. The same inputs produce the same bytes.
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
		for _, path := range initLinks {
			entries = append(entries, entry{Path: path, Link: "/init"})
		}
		for _, path := range mountPoints {
			entries = append(entries, entry{Path: path, Mode: fs.ModeDir | 0o755})
		}
		// Writable for all: /init stores its state there as any user.
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

// entry is a file of a layer. Its fields are hashed into keys.
type entry struct {
	Path string
	Mode fs.FileMode
	Link string // target, for a symbolic link
	Data []byte
}

// files returns the files in dir. Only the executable bit of a mode counts, as in
// Git. Directories are left out, because those of Debian must keep their modes;
// unpacking the layer creates missing ones.
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

// pack returns a sorted tar archive of entries, owned by root and dated epoch.
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
