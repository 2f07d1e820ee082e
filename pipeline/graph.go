package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/docs"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/initgraph"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
)

// Graph looks over the init graph of the built image of one platform.
func (p *Pipeline) Graph(ctx context.Context, platform v1.Platform) error {
	key := registry.Key(platform)
	return p.stage(ctx, report.Key{Stage: "graph", Platform: key}, func(ctx context.Context, log io.Writer) error {
		img, err := p.Image(platform)
		if err != nil {
			return err
		}
		found, tree, drift, err := p.Documents().Look(ctx, log, platform, img)
		if err != nil {
			return err
		}
		fmt.Fprintf(log, "%d edges\n", len(found.Edges))
		p.mu.Lock()
		p.found[key] = graphOf{found, tree, drift}
		p.mu.Unlock()
		p.report.Platform(key, func(r *report.Platform) { r.Drift = failure.Lines(errors.Join(drift...)) })
		p.showGraph(platform)
		return join(drift...)
	})
}

// graphOf is the init graph of an image and how it differs from the documented
// one.
type graphOf struct {
	graph *initgraph.Graph
	tree  *s6rc.Tree
	drift []error
}

// services are those in the image of a platform, which Graph has read unless it
// was not asked to.
func (p *Pipeline) services(platform v1.Platform, img v1.Image) (*s6rc.Tree, error) {
	key := registry.Key(platform)
	p.mu.Lock()
	of, ok := p.found[key]
	p.mu.Unlock()
	if ok {
		return of.tree, nil
	}
	_, tree, err := initgraph.FromImage(img)
	if err != nil {
		return nil, fmt.Errorf("read the init graph of %s: %w", key, err)
	}
	return tree, nil
}

// showGraph puts the pictures of a platform into the report. Where there is
// none, drawing has said why.
func (p *Pipeline) showGraph(platform v1.Platform) {
	key := registry.Key(platform)
	var drawings []report.Drawing
	for _, look := range initgraph.Looks() {
		if svg, err := p.Documents().Picture(platform, look); err == nil {
			name := fmt.Sprintf("%s-%s.svg", strings.ReplaceAll(key, "/", "-"), look.Name)
			drawings = append(drawings, report.Drawing{Name: name, Dark: look.Name == "dark", SVG: svg})
		}
	}
	p.report.Platform(key, func(r *report.Platform) { r.Drawings = drawings })
}

// markFailed draws the init graph of a platform again, with the services that
// did not come up in red.
func (p *Pipeline) markFailed(ctx context.Context, log io.Writer, platform v1.Platform, failed []string) {
	p.mu.Lock()
	of, ok := p.found[registry.Key(platform)]
	p.mu.Unlock()
	if !ok || len(failed) == 0 {
		return
	}
	if err := p.Documents().Draw(ctx, log, platform, of.graph, of.drift, failed...); err != nil {
		fmt.Fprintf(log, "no picture of what failed: %v\n", err)
		return
	}
	p.showGraph(platform)
}

// Documents are those of the repository, with what Graph left for each platform.
func (p *Pipeline) Documents() docs.Documents {
	return docs.Documents{Repo: p.Repo, Output: p.Output, D2: p.D2}
}

// Mermaid is the init graph of the first platform whose graph was looked over, or
// "".
func (p *Pipeline) Mermaid() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, platform := range p.Platforms {
		if of, ok := p.found[registry.Key(platform)]; ok {
			return of.graph.Mermaid()
		}
	}
	return ""
}

// CheckReadme compares what readme-vars.yml makes with what it should be; a
// *docs.Drift says how it differs.
func (p *Pipeline) CheckReadme(ctx context.Context) error {
	return p.stage(ctx, report.Key{Stage: "readme"}, func(ctx context.Context, log io.Writer) error {
		return p.Documents().Check()
	})
}
