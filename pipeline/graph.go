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
)

// graph checks the init graph of the image of one platform. A difference from the
// documented graph is an error.
func (p *Pipeline) graph(ctx context.Context, of registry.PlatformImage) (found docs.Graph, err error) {
	key := registry.Key(of.Platform)
	err = p.stage(ctx, report.Key{Stage: "graph", Platform: key}, func(ctx context.Context, log io.Writer) (err error) {
		if found, err = p.documents().InspectGraph(ctx, log, of.Platform, of.Image); err != nil {
			return err
		}
		fmt.Fprintf(log, "%d edges\n", len(found.Edges))
		p.report.Platform(key, func(r *report.Platform) {
			r.Drift, r.Mermaid = failure.Lines(errors.Join(found.Drift...)), found.Mermaid()
		})
		p.showGraph(key, found)
		return join(found.Drift...)
	})
	return found, err
}

// showGraph adds the drawings of a platform to the report. When there is none, the
// log has the reason.
func (p *Pipeline) showGraph(key string, graph docs.Graph) {
	var drawings []report.Drawing
	for _, theme := range initgraph.Themes() {
		if svg, err := graph.Picture(theme); err == nil {
			name := fmt.Sprintf("%s-%s.svg", strings.ReplaceAll(key, "/", "-"), theme.Name)
			drawings = append(drawings, report.Drawing{Name: name, Dark: theme.Name == "dark", SVG: svg})
		}
	}
	p.report.Platform(key, func(r *report.Platform) { r.Drawings = drawings })
}

// drawFailed draws the init graph of a platform again, with the services that
// did not start in red.
func (p *Pipeline) drawFailed(ctx context.Context, log io.Writer, platform v1.Platform, graph docs.Graph, failed []string) {
	if graph.Graph == nil || len(failed) == 0 {
		return
	}
	if err := p.documents().Draw(ctx, log, platform, &graph, failed...); err != nil {
		fmt.Fprintf(log, "no picture of what failed: %v\n", err)
		return
	}
	p.showGraph(registry.Key(platform), graph)
}

// documents returns the documents of the repository.
func (p *Pipeline) documents() docs.Documents {
	return docs.Documents{Repo: p.Repo, Output: p.Output, D2: p.D2}
}

// checkReadme compares the documents with what readme-vars.yml renders to. The
// error of a difference is a *docs.Drift.
func (p *Pipeline) checkReadme(ctx context.Context) error {
	return p.stage(ctx, report.Key{Stage: "readme"}, func(ctx context.Context, log io.Writer) error {
		return p.documents().Check()
	})
}
