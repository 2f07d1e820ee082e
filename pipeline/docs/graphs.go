package docs

import (
	"archive/tar"
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
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/linuxserver/docker-netbox/pipeline/d2"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/initgraph"
	"github.com/linuxserver/docker-netbox/pipeline/outdir"
	"github.com/linuxserver/docker-netbox/pipeline/readme"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
)

// Graphs reads the init graphs of images, compares them with the one that
// readme-vars.yml documents, and draws them.
type Graphs struct {
	Repo   string  // the repository's directory
	Output string  // directory that all files go to
	D2     d2.Tool // draws the pictures
}

// Look reads the init graph out of the image of a platform, checks its
// structure and compares it with the documented one. tree is what it was read
// from, drift has an error with file and line for each difference. Drawing and Picture are left under the
// output directory.
func (g Graphs) Look(ctx context.Context, log io.Writer, platform v1.Platform, img v1.Image) (found *initgraph.Graph, tree *s6rc.Tree, drift []error, err error) {
	vars, _, err := g.vars()
	if err != nil {
		return nil, nil, nil, err
	}
	declared, err := documented(vars)
	if err != nil {
		return nil, nil, nil, err
	}
	if found, tree, err = g.read(platform, img, declared); err != nil {
		return nil, nil, nil, err
	}
	for _, d := range initgraph.Compare(declared, found) {
		line := vars.Line("init_diagram")
		if d.Line > 0 {
			line += d.Line
		}
		drift = append(drift, fmt.Errorf("%s:%d: %w", readme.File, line, d))
	}
	if err := g.Draw(ctx, log, platform, found, drift); err != nil {
		return nil, nil, nil, fmt.Errorf("draw the init graph: %w", err)
	}
	return found, tree, drift, nil
}

// read returns the init graph of an image, under the title of the declared one,
// and the services it was read from.
func (g Graphs) read(platform v1.Platform, img v1.Image, declared *initgraph.Graph) (*initgraph.Graph, *s6rc.Tree, error) {
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
	found.Title, found.Bases = declared.Title, declared.Bases
	return found, tree, nil
}

// vars are the variables of the repository, and their text.
func (g Graphs) vars() (*readme.Vars, []byte, error) {
	text, err := os.ReadFile(filepath.Join(g.Repo, readme.File))
	if err != nil {
		return nil, nil, failure.Usagef("read the documented init graph: %w", err)
	}
	vars, err := readme.Parse(readme.File, text)
	return vars, text, err
}

// documented is the init graph that readme-vars.yml promises. Where there is
// none, or none that can be read, it has nothing but the image's name.
func documented(vars *readme.Vars) (*initgraph.Graph, error) {
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

// pictureLimit bounds the drawing of pictures, d2 built on the way included:
// nobody waits much longer for what is only nice to have.
const pictureLimit = 5 * time.Minute

// Draw leaves the graph as text and as pictures. A picture that cannot be had
// is written to log: no graph is wrong for that.
func (g Graphs) Draw(ctx context.Context, log io.Writer, platform v1.Platform, graph *initgraph.Graph, drift []error, failed ...string) error {
	var drifts []initgraph.Drift
	for _, err := range drift {
		var d initgraph.Drift
		if errors.As(err, &d) {
			drifts = append(drifts, d)
		}
	}
	text := g.file(platform, "d2")
	if err := os.MkdirAll(filepath.Dir(text), 0o755); err != nil {
		return err
	}
	if err := outdir.WriteFile(text, []byte(graph.D2())); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, pictureLimit, fmt.Errorf("not done after %s", pictureLimit))
	defer cancel()
	for _, look := range initgraph.Looks() {
		file := g.file(platform, look.Name+".svg")
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		// Mostly the picture is the one that README.md shows.
		shown, err := os.ReadFile(filepath.Join(g.Repo, readme.Picture(look.Name)))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		svg, err := g.D2.SVG(ctx, log, graph.Drawing(look, drifts, failed...), shown)
		if err != nil {
			if err := ctx.Err(); errors.Is(err, context.Canceled) {
				return err
			}
			fmt.Fprintf(log, "no picture of the init graph: %v\n", err)
			continue
		}
		if err := outdir.WriteFile(file, svg); err != nil {
			return err
		}
	}
	return nil
}

func (g Graphs) file(platform v1.Platform, suffix string) string {
	return filepath.Join(g.Output, "graph", strings.ReplaceAll(registry.Key(platform), "/", "-")+"."+suffix)
}

// Drawing is the d2 text that Look left for a platform.
func (g Graphs) Drawing(platform v1.Platform) (string, error) {
	text, err := os.ReadFile(g.file(platform, "d2"))
	return string(text), err
}

// Picture is the SVG that Look left for a platform. Where d2 could not be had
// there is none.
func (g Graphs) Picture(platform v1.Platform, look initgraph.Look) ([]byte, error) {
	svg, err := os.ReadFile(g.file(platform, look.Name+".svg"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("find the picture of the init graph of %s: there is none, see above why d2 could not draw it", registry.Key(platform))
	}
	return svg, err
}

// Found reads the init graph out of the image of a platform, and checks its
// structure.
func (g Graphs) Found(platform v1.Platform, img v1.Image) (*initgraph.Graph, error) {
	vars, _, err := g.vars()
	if err != nil {
		return nil, err
	}
	declared, _ := documented(vars) // what cannot be read is replaced
	found, _, err := g.read(platform, img, declared)
	return found, err
}

// OnBase is the init graph that the image has on a base: that of the base with
// the repository's own services. What they run is not looked at.
func (g Graphs) OnBase(platform v1.Platform, base v1.Image) (*initgraph.Graph, error) {
	vars, _, err := g.vars()
	if err != nil {
		return nil, err
	}
	declared, err := documented(vars)
	if err != nil {
		return nil, err
	}
	own, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() {
			t := tar.NewWriter(w)
			err := t.AddFS(os.DirFS(filepath.Join(g.Repo, "root")))
			w.CloseWithError(cmp.Or(err, t.Close()))
		}()
		return r, nil
	})
	if err == nil {
		base, err = mutate.AppendLayers(base, own)
	}
	var found *initgraph.Graph
	if err == nil {
		found, _, err = initgraph.FromImage(base)
	}
	if err != nil {
		return nil, fmt.Errorf("read the init graph on the base of %s: %w", registry.Key(platform), err)
	}
	found.Title, found.Bases = declared.Title, declared.Bases
	return found, nil
}

// Write makes readme-vars.yml document the graph that was found in an image,
// and reports whether that changed it. Nothing else in the file does.
func (g Graphs) Write(found *initgraph.Graph) (changed bool, err error) {
	vars, have, err := g.vars()
	if err != nil {
		return false, err
	}
	updated := found.Update(vars.InitDiagram)
	if updated == vars.InitDiagram {
		return false, nil
	}
	want, err := readme.SetInitDiagram(readme.File, have, updated)
	if err != nil || string(want) == string(have) {
		return false, err
	}
	if err := outdir.WriteFile(filepath.Join(g.Repo, readme.File), want); err != nil {
		return false, fmt.Errorf("write %s: %w", readme.File, err)
	}
	return true, nil
}
