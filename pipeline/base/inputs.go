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

// Inputs are what the base image takes from the repository, besides the
// packages of Debian.
type Inputs struct {
	trees   []string // directories, with all that is under them
	code    []string // directories of Go packages, for their files alone
	modules []string // of other people, compiled into its programs
}

// Inputs finds them. The Go of this package is among them: it says of which
// packages the image is made, and how.
func (b *Builder) Inputs(ctx context.Context) (Inputs, error) {
	packages, err := b.goPackages(ctx)
	if err != nil {
		return Inputs{}, err
	}
	in := Inputs{trees: []string{rootfs}, code: []string{path.Dir(rootfs)}}
	for _, pkg := range packages {
		switch {
		case pkg.own():
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

// Has reports whether the image is made of a file, which there need not be any
// more. For go.mod see Requires.
func (in Inputs) Has(file string) bool {
	if slices.ContainsFunc(in.trees, func(tree string) bool { return file == tree || strings.HasPrefix(file, tree+"/") }) {
		return true
	}
	return strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go") && slices.Contains(in.code, path.Dir(file))
}

var requirement = regexp.MustCompile(`(?m)^(?:require)?\s*(\S+) (v\S+)`)

// Requires is what the text of a go.mod says of the image's programs: the Go
// they are compiled by, and the modules that are compiled in.
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
