package base

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Inputs are the files and modules that the base image is built from, besides
// Debian packages.
type Inputs struct {
	trees   []string // directories, including all below them
	code    []string // directories of Go packages, without subdirectories
	modules []string // dependencies that are compiled into the programs
}

// Inputs returns the inputs of the base image. They include the Go code of this
// package, which lists the Debian packages and assembles the image.
func (b *Builder) Inputs(ctx context.Context) (Inputs, error) {
	packages, err := b.goPackages(ctx)
	if err != nil {
		return Inputs{}, err
	}
	in := Inputs{trees: []string{rootfs}, code: []string{path.Dir(rootfs)}}
	for _, pkg := range packages {
		switch {
		case pkg.inRepository():
			dir, err := filepath.Rel(pkg.Module.Dir, pkg.Dir)
			if err != nil {
				return Inputs{}, fmt.Errorf("finding the sources of the base image: %w", err)
			}
			dir = filepath.ToSlash(dir)
			in.code = append(in.code, dir)
			for _, file := range pkg.EmbedFiles {
				top, _, _ := strings.Cut(filepath.ToSlash(file), "/")
				in.trees = append(in.trees, path.Join(dir, top))
			}
		case pkg.Module != nil:
			in.modules = append(in.modules, pkg.Module.Path)
		}
	}
	return in, nil
}

// Has reports whether a file is an input of the image. The file need not exist any
// more. For go.mod see Requires.
func (in Inputs) Has(file string) bool {
	if slices.ContainsFunc(in.trees, func(tree string) bool { return file == tree || strings.HasPrefix(file, tree+"/") }) {
		return true
	}
	return strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go") && slices.Contains(in.code, path.Dir(file))
}

var requirement = regexp.MustCompile(`(?m)^(?:require)?\s*(\S+) (v\S+)`)

// Requires returns the parts of a go.mod that affect the image's programs: the Go
// version, and the versions of modules that are compiled in.
func (in Inputs) Requires(mod string) []string {
	found := toolchain.FindAllString(mod, -1)
	for _, m := range requirement.FindAllStringSubmatch(mod, -1) {
		if slices.Contains(in.modules, m[1]) {
			found = append(found, m[1]+" "+m[2])
		}
	}
	return found
}

var toolchain = regexp.MustCompile(`(?m)^(?:go|toolchain) \S+`)
