// Package docs keeps what is documented in step: README.md and its pictures with
// readme-vars.yml, and the init graph there with that of the images.
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

// Drift is a file not being what readme-vars.yml makes of it.
type Drift struct {
	File string
	Diff string // unified, from the files to what they should be; of several files in a row
}

func (d Drift) Error() string {
	return fmt.Sprintf("compare %s with %s: they differ: run \"go run ./ci readme\" and commit the result", cmp.Or(d.File, readme.Page), readme.File)
}

// Lines is the difference.
func (d Drift) Lines() []string { return strings.Split(strings.TrimRight(d.Diff, "\n"), "\n") }

// Documents are the files that readme-vars.yml makes: README.md with the
// pictures in it, and the page of the documentation site, which lives in
// another repository. The init graphs of images are compared with what they
// show.
type Documents struct {
	Repo   string  // the repository's directory
	Output string  // directory that the graphs of images go to
	D2     d2.Tool // draws the pictures
	Docs   string  // file of the documentation site's page; empty for none
}

// document is one of them.
type document struct {
	path string // in the repository, or as Docs has it
	file string
	have []byte // nil when there is none
	want []byte // nil when there is only drawing
	draw string // d2 text, for a picture
}

// Check compares the files with what they should be, without drawing: a
// *Drift says how they differ.
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
			// The last line says what the picture was made of; the others are too
			// long for anyone to read.
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

// Render returns the text of each file as it should be, by its path.
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

// Write makes the files what they should be, and names those that it changed.
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

// all lists the files, README.md first, and what in the variables no page shows.
func (d Documents) all() (all []document, notes []string, err error) {
	vars, extra, err := readme.Load(d.Repo)
	if err != nil {
		return nil, nil, err
	}
	// An image whose repository has no d2 shows the graph as text alone.
	extra.Pictures = vars.InitDiagram != "" && d.D2.Pinned()
	page, err := vars.README(extra)
	if err != nil {
		return nil, nil, err
	}
	all = []document{{path: readme.Page, want: page}}
	if extra.Pictures {
		graph, err := documented(vars)
		if err != nil {
			return nil, nil, err
		}
		for _, look := range initgraph.Looks() {
			all = append(all, document{path: readme.Picture(look.Name), draw: graph.Drawing(look, nil)})
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

// themes are those of d2 for the looks of a picture.
var themes = map[string]int{initgraph.Light.Name: 0, initgraph.Dark.Name: 200}

// drawings are the pictures of the d2 files under docs, which lie beside them.
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
		for _, look := range initgraph.Looks() {
			all = append(all, document{
				path: name + "-" + look.Name + ".svg",
				draw: fmt.Sprintf("vars: { d2-config: { theme-id: %d } }\nstyle.fill: transparent\n%s", themes[look.Name], text),
			})
		}
	}
	return all, nil
}

// String names the files, for people.
func (d Documents) String() string {
	names := []string{readme.Page + " with its pictures"}
	if d.Docs != "" {
		names = append(names, d.Docs)
	}
	return strings.Join(names, ", ")
}
