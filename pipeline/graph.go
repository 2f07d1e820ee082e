package pipeline

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/initgraph"
	"github.com/linuxserver/docker-netbox/pipeline/readme"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/report"
)

// Graph reads the init graph out of the built image of one platform, checks
// its structure and compares it with the one in readme-vars.yml. The drawing
// is left under the output directory.
func (p *Pipeline) Graph(ctx context.Context, platform v1.Platform) error {
	key := registry.Key(platform)
	return p.stage(ctx, report.Key{Stage: "graph", Platform: key}, "", func(ctx context.Context, log io.Writer) error {
		img, err := p.Image(platform)
		if err != nil {
			return err
		}
		root, err := initgraph.OpenImage(img)
		if err != nil {
			return fmt.Errorf("read the init graph of %s: %w", key, err)
		}
		if err := initgraph.Check(root); err != nil {
			return err
		}
		found, _, err := initgraph.FromFS(root)
		if err != nil {
			return fmt.Errorf("read the init graph of %s: %w", key, err)
		}
		vars, declared, err := p.declaredGraph()
		if err != nil {
			return err
		}
		found.Title, found.Bases = declared.Title, declared.Bases
		if err := p.draw(key, found); err != nil {
			return err
		}
		fmt.Fprintf(log, "%d edges\n", len(found.Edges))

		var drift []error
		var lines []string
		for _, d := range initgraph.Compare(declared, found) {
			line := vars.Line("init_diagram")
			if d.Line > 0 {
				line += d.Line
			}
			err := fmt.Errorf("%s:%d: %w", readme.File, line, d)
			drift, lines = append(drift, err), append(lines, err.Error())
		}
		p.report.Platform(key, func(r *report.Platform) { r.Drift = lines })
		return join(drift...)
	})
}

// declaredGraph is the init graph that readme-vars.yml promises.
func (p *Pipeline) declaredGraph() (*readme.Vars, *initgraph.Graph, error) {
	data, err := os.ReadFile(filepath.Join(p.Repo, readme.File))
	if err != nil {
		return nil, nil, failure.Usagef("read the documented init graph: %w", err)
	}
	vars, err := readme.Parse(readme.File, data)
	if err != nil {
		return nil, nil, err
	}
	graph, err := initgraph.ParseD2(vars.InitDiagram)
	if err != nil {
		return nil, nil, failure.Usagef("%s:%d: init_diagram: %w", readme.File, vars.Line("init_diagram"), err)
	}
	return vars, graph, nil
}

// draw leaves the graph as graph/PLATFORM.d2.
func (p *Pipeline) draw(key string, g *initgraph.Graph) error {
	file := p.path("graph", strings.ReplaceAll(key, "/", "-")+".d2")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("draw the init graph: %w", err)
	}
	if err := replaceFile(file, []byte(g.D2())); err != nil {
		return fmt.Errorf("draw the init graph: %w", err)
	}
	return nil
}

// Drawing is the d2 text that Graph left for a platform.
func (p *Pipeline) Drawing(platform v1.Platform) (string, error) {
	text, err := os.ReadFile(p.path("graph", strings.ReplaceAll(registry.Key(platform), "/", "-")+".d2"))
	return string(text), err
}

// replaceFile writes a file so that it is the old one or the new one, never
// half of either.
func replaceFile(name string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(data); err != nil {
		tmp.Close()
		return err
	}
	if err := tmp.Chmod(0o644); err != nil {
		tmp.Close()
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}
