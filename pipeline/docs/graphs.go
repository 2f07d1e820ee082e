package docs

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/initgraph"
	"github.com/linuxserver/docker-netbox/pipeline/outdir"
	"github.com/linuxserver/docker-netbox/pipeline/readme"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
)

// Graph is the init graph of an image and the service tree it was read from.
// Drift has an error with file and line for each difference from the documented
// graph.
type Graph struct {
	*initgraph.Graph
	Tree     *s6rc.Tree
	Drift    []error
	drifts   []initgraph.Drift // the same, unformatted
	pictures map[string][]byte // SVG by the name of its theme
}

// Picture returns the SVG of the graph with its differences. It fails if d2 was
// not available.
func (g Graph) Picture(theme initgraph.Theme) ([]byte, error) {
	svg, ok := g.pictures[theme.Name]
	if !ok {
		return nil, errors.New("find the picture of the init graph: there is none: see above why d2 could not draw it")
	}
	return svg, nil
}

// InspectGraph reads the init graph from the image of a platform, checks its structure
// and compares it with the documented one. It writes text and pictures to the
// output directory.
func (d Documents) InspectGraph(ctx context.Context, log io.Writer, platform v1.Platform, img v1.Image) (found Graph, err error) {
	vars, _, err := d.vars()
	if err != nil {
		return found, err
	}
	declared, err := declaredGraph(vars)
	if err != nil {
		return found, err
	}
	if found.Graph, found.Tree, err = read(platform, img); err != nil {
		return found, err
	}
	found.Title, found.Bases = declared.Title, declared.Bases
	found.drifts = initgraph.Compare(declared, found.Graph)
	for _, differs := range found.drifts {
		line := vars.Line("init_diagram")
		if differs.Line > 0 {
			line += differs.Line
		}
		found.Drift = append(found.Drift, fmt.Errorf("%s:%d: %w", readme.File, line, differs))
	}
	if err := d.Draw(ctx, log, platform, &found); err != nil {
		return found, fmt.Errorf("draw the init graph: %w", err)
	}
	return found, nil
}

// read returns the init graph of an image and the service tree it was read from,
// after checking its structure.
func read(platform v1.Platform, img v1.Image) (*initgraph.Graph, *s6rc.Tree, error) {
	key := registry.Key(platform)
	root, err := initgraph.OpenImage(img)
	if err != nil {
		return nil, nil, fmt.Errorf("read the init graph of %s: %w", key, err)
	}
	if err := initgraph.Check(root); err != nil {
		return nil, nil, err
	}
	found, tree, err := initgraph.FromFS(root)
	if err != nil {
		return nil, nil, fmt.Errorf("read the init graph of %s: %w", key, err)
	}
	return found, tree, nil
}

// vars reads readme-vars.yml and returns its variables and its text.
func (d Documents) vars() (*readme.Vars, []byte, error) {
	text, err := os.ReadFile(filepath.Join(d.Repo, readme.File))
	if err != nil {
		return nil, nil, failure.Usagef("read the documented init graph: %w", err)
	}
	vars, err := readme.Parse(readme.File, text)
	return vars, text, err
}

// declaredGraph returns the init graph declared in readme-vars.yml. If there is none
// or it is invalid, the graph has only the image's name.
func declaredGraph(vars *readme.Vars) (*initgraph.Graph, error) {
	nothing := &initgraph.Graph{Title: vars.Name + ":latest"}
	if vars.InitDiagram == "" {
		return nothing, nil
	}
	graph, err := initgraph.ParseD2(vars.InitDiagram)
	if err != nil {
		return nothing, failure.Usagef("%s:%d: init_diagram: %w", readme.File, vars.Line("init_diagram"), err)
	}
	return graph, nil
}

// pictureLimit is the timeout for rendering pictures, including the build of d2.
// Pictures are optional, so a run does not wait longer for them.
const pictureLimit = 5 * time.Minute

// Draw writes the graph as text and as pictures. A picture that cannot be
// rendered is reported to log and is not an error.
func (d Documents) Draw(ctx context.Context, log io.Writer, platform v1.Platform, graph *Graph, failed ...string) error {
	file := filepath.Join(d.Output, "graph", strings.ReplaceAll(registry.Key(platform), "/", "-")+".")
	if err := outdir.WriteFile(file+"d2", []byte(graph.D2())); err != nil {
		return err
	}
	graph.pictures = map[string][]byte{}
	ctx, cancel := context.WithTimeoutCause(ctx, pictureLimit, fmt.Errorf("not done after %s", pictureLimit))
	defer cancel()
	for _, theme := range initgraph.Themes() {
		picture := file + theme.Name + ".svg"
		if err := os.Remove(picture); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		// Usually the picture is the same as in README.md.
		shown, err := os.ReadFile(filepath.Join(d.Repo, readme.Picture(theme.Name)))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		svg, err := d.D2.SVG(ctx, log, graph.Drawing(theme, graph.drifts, failed...), shown)
		if err != nil {
			if err := ctx.Err(); errors.Is(err, context.Canceled) {
				return err
			}
			fmt.Fprintf(log, "no picture of the init graph: %v\n", err)
			continue
		}
		if err := outdir.WriteFile(picture, svg); err != nil {
			return err
		}
		graph.pictures[theme.Name] = svg
	}
	return nil
}

// InImage reads the init graph from the image of a platform and checks its
// structure.
func (Documents) InImage(platform v1.Platform, img v1.Image) (*initgraph.Graph, error) {
	found, _, err := read(platform, img)
	return found, err
}

// OnBase returns the init graph of the base image with the repository's own
// services added. It does not check the programs that they run.
func (d Documents) OnBase(platform v1.Platform, base v1.Image) (*initgraph.Graph, error) {
	vars, _, err := d.vars()
	if err == nil {
		_, err = declaredGraph(vars) // an invalid graph would lose the names of its bases
	}
	if err != nil {
		return nil, err
	}
	var own bytes.Buffer
	files := tar.NewWriter(&own)
	err = errors.Join(files.AddFS(os.DirFS(filepath.Join(d.Repo, "root"))), files.Close())
	if err == nil {
		base, err = mutate.AppendLayers(base, static.NewLayer(own.Bytes(), types.OCIUncompressedLayer))
	}
	var found *initgraph.Graph
	if err == nil {
		found, _, err = initgraph.FromImage(base)
	}
	if err != nil {
		return nil, fmt.Errorf("read the init graph on the base of %s: %w", registry.Key(platform), err)
	}
	return found, nil
}

// WriteGraph writes the init graph that read returns for all images to
// readme-vars.yml, then updates the generated files. It fails if the images'
// graphs differ, and returns the files it changed.
func (d Documents) WriteGraph(ctx context.Context, log io.Writer, what string, images []registry.PlatformImage, read func(v1.Platform, v1.Image) (*initgraph.Graph, error)) (changed []string, err error) {
	var graph *initgraph.Graph
	for _, img := range images {
		found, err := read(img.Platform, img.Image)
		if err != nil {
			return nil, err
		}
		graph = cmp.Or(graph, found)
		if differs := initgraph.Compare(graph, found); len(differs) > 0 {
			return nil, fmt.Errorf("write the init graph: the %s of %s and %s differ: %w", what, registry.Key(images[0].Platform), registry.Key(img.Platform), differs[0])
		}
	}
	vars, have, err := d.vars()
	if err != nil {
		return nil, err
	}
	declared, _ := declaredGraph(vars) // an invalid graph is replaced
	graph.Title, graph.Bases = declared.Title, declared.Bases
	want := have
	if updated := graph.Update(vars.InitDiagram); updated != vars.InitDiagram {
		if want, err = readme.SetInitDiagram(readme.File, have, updated); err != nil {
			return nil, err
		}
	}
	if !bytes.Equal(want, have) { // nothing else in the file changes
		if err := outdir.WriteFile(filepath.Join(d.Repo, readme.File), want); err != nil {
			return nil, fmt.Errorf("write %s: %w", readme.File, err)
		}
		changed = []string{readme.File}
	}
	more, err := d.Write(ctx, log)
	return append(changed, more...), err
}
