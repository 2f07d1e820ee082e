// Package docs keeps the documentation up to date: README.md and its pictures
// with readme-vars.yml, and the documented init graph with that of the images.
package docs

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/d2"
	"github.com/linuxserver/docker-netbox/pipeline/git"
	"github.com/linuxserver/docker-netbox/pipeline/initgraph"
	"github.com/linuxserver/docker-netbox/pipeline/outdir"
	"github.com/linuxserver/docker-netbox/pipeline/readme"
)

// Drift is the error for generated files that do not match readme-vars.yml.
type Drift struct {
	File string
	Diff string // unified diffs from the files to their expected content
}

func (d Drift) Error() string {
	return fmt.Sprintf("compare %s with %s: they differ: run \"go run ./ci readme\" and commit the result", cmp.Or(d.File, readme.Page), readme.File)
}

// Lines returns the lines of the diff.
func (d Drift) Lines() []string { return strings.Split(strings.TrimRight(d.Diff, "\n"), "\n") }

// Documents generates the files that derive from readme-vars.yml: README.md with
// its pictures, and the page of the documentation site, which is in another
// repository. It also compares the init graphs of images with the documented one.
type Documents struct {
	Repo   string  // directory of the repository
	Output string  // directory for the graphs of images
	D2     d2.Tool // renders the pictures
	Docs   string  // file of the documentation site's page; empty for none
}

// document is one generated file.
type document struct {
	path string // relative to the repository, or the value of Docs
	file string
	have []byte // nil when the file does not exist
	want []byte // nil for a picture
	draw string // d2 text of a picture
}

// Check compares the files with their expected content, without rendering
// pictures. It returns a *Drift if they differ.
func (d Documents) Check() error {
	if err := git.CheckLineEnds(d.Repo); err != nil {
		return err
	}
	all, _, err := d.all()
	if err != nil {
		return err
	}
	drift := &Drift{}
	for _, doc := range all {
		have, want := doc.have, doc.want
		if doc.draw != "" {
			stamp, err := d.D2.Stamp(doc.draw)
			if err != nil {
				return err
			}
			// The last line identifies the picture's input; a diff of the others
			// would be unreadable.
			have, want = have[bytes.LastIndexByte(bytes.TrimRight(have, "\n"), '\n')+1:], []byte(stamp)
		}
		if diff := readme.Diff(doc.path, have, want); diff != "" {
			drift.File = cmp.Or(drift.File, doc.path)
			drift.Diff += diff
		}
	}
	if drift.Diff == "" {
		return nil
	}
	return drift
}

// Render returns the expected content of each file, by path.
func (d Documents) Render(ctx context.Context, log io.Writer) (map[string]string, error) {
	all, _, err := d.all()
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, doc := range all {
		text, err := d.render(ctx, log, doc)
		if err != nil {
			return nil, err
		}
		files[doc.path] = string(text)
	}
	return files, nil
}

func (d Documents) render(ctx context.Context, log io.Writer, doc document) ([]byte, error) {
	if doc.draw == "" {
		return doc.want, nil
	}
	svg, err := d.D2.SVG(ctx, log, doc.draw, doc.have)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", doc.path, err)
	}
	return svg, nil
}

// Write updates the files and returns the paths of those it changed.
func (d Documents) Write(ctx context.Context, log io.Writer) (changed []string, err error) {
	all, notes, err := d.all()
	if err != nil {
		return nil, err
	}
	for _, note := range notes {
		fmt.Fprintf(log, "note: %s\n", note)
	}
	for _, doc := range all {
		want, err := d.render(ctx, log, doc)
		if err != nil {
			return changed, err
		}
		if doc.have != nil && bytes.Equal(doc.have, want) {
			continue
		}
		if err := outdir.WriteFile(doc.file, want); err != nil {
			return changed, fmt.Errorf("write %s: %w", doc.path, err)
		}
		changed = append(changed, doc.path)
	}
	return changed, nil
}

// all returns the files, README.md first, and the notes about variables that no
// page shows.
func (d Documents) all() (all []document, notes []string, err error) {
	vars, extra, err := readme.Load(d.Repo)
	if err != nil {
		return nil, nil, err
	}
	// Without d2 in the repository, the page shows the graph as text only.
	extra.Pictures = vars.InitDiagram != "" && d.D2.Pinned()
	page, err := vars.README(extra)
	if err != nil {
		return nil, nil, err
	}
	all = []document{{path: readme.Page, want: page}}
	if extra.Pictures {
		graph, err := declaredGraph(vars)
		if err != nil {
			return nil, nil, err
		}
		for _, theme := range initgraph.Themes() {
			all = append(all, document{path: readme.Picture(theme.Name), draw: graph.Drawing(theme, nil)})
		}
	}
	drawings, err := d.drawings()
	if err != nil {
		return nil, nil, err
	}
	all = append(all, drawings...)
	if d.Docs != "" {
		docs, err := vars.Docs(extra)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, document{path: d.Docs, file: d.Docs, want: docs})
	}
	for i := range all {
		doc := &all[i]
		if doc.file == "" {
			doc.file = filepath.Join(d.Repo, filepath.FromSlash(doc.path))
		}
		if doc.have, err = os.ReadFile(doc.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("read %s: %w", doc.path, err)
		}
	}
	return all, vars.Notes, nil
}

// d2Themes maps the name of a theme to the id of a d2 theme.
var d2Themes = map[string]int{initgraph.Light.Name: 0, initgraph.Dark.Name: 200}

// drawings returns the pictures of the d2 files under docs, stored beside them.
func (d Documents) drawings() (all []document, err error) {
	if !d.D2.Pinned() {
		return nil, nil
	}
	files, err := filepath.Glob(filepath.Join(d.Repo, "docs", "*.d2"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the drawing: %w", err)
		}
		name := "docs/" + strings.TrimSuffix(filepath.Base(file), ".d2")
		for _, theme := range initgraph.Themes() {
			all = append(all, document{
				path: name + "-" + theme.Name + ".svg",
				draw: fmt.Sprintf("vars: { d2-config: { theme-id: %d } }\nstyle.fill: transparent\n%s", d2Themes[theme.Name], text),
			})
		}
	}
	return all, nil
}

// String lists the files, for log messages.
func (d Documents) String() string {
	names := []string{readme.Page + " with its pictures"}
	if d.Docs != "" {
		names = append(names, d.Docs)
	}
	return strings.Join(names, ", ")
}
