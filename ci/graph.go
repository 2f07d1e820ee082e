package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/spf13/cobra"

	"github.com/linuxserver/docker-netbox/pipeline/docs"
	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/initgraph"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

func newGraph(e env) *cobra.Command {
	var g graphVerb
	cmd := &cobra.Command{
		Use:   "graph",
		Short: "Compare the init graph of the image with the documented one",
		Long: `Read from the built image in which order its services start, check the
structure, and compare it edge by edge with init_diagram in readme-vars.yml.
Standard output carries the graph of the first platform as d2. Text and pictures
for all platforms are written to dist/graph.

--write sets init_diagram to the graph of the image and updates README.md and
its pictures. --from reads images that are already built; it needs neither root
nor an engine.`,
		Example: `  go run ./ci graph
  go run ./ci graph --platform linux/amd64 >init.d2
  go run ./ci graph --from oci:dist/image --svg init.svg
  go run ./ci graph --write`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			platforms, err := platform.Parse(e.flags.platforms)
			if err != nil {
				return err
			}
			g.env, g.platforms, g.documents = e, platforms, e.documents()
			if g.from != "" {
				return g.ofLayout(cmd.Context())
			}
			return g.ofBuild(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&g.write, "write", false, "update readme-vars.yml and README.md to the graph of the image")
	cmd.Flags().StringVar(&g.svg, "svg", "", "`file` for the picture of the first platform; the dark version is written next to it as NAME-dark.svg")
	cmd.Flags().StringVar(&g.from, "from", "", "`image` to read instead of building one: oci:DIR")
	return cmd
}

// graphVerb is one run of the verb.
type graphVerb struct {
	env
	write     bool
	svg, from string
	platforms []v1.Platform
	documents docs.Documents
}

// ofBuild builds the images and checks their graphs.
func (g graphVerb) ofBuild(ctx context.Context) error {
	return g.session(ctx, func(s *session) error {
		if g.write {
			images, _, err := s.pipeline.BuildAll(ctx)
			if err := s.finish(err, ""); err != nil {
				return err
			}
			return g.checkImages(ctx, images)
		}
		first, err := s.pipeline.GraphAll(ctx)
		err = s.finish(err, "")
		if first.Graph == nil {
			return err
		}
		// The pictures also show a difference, so they are written despite err.
		if err := errors.Join(err, g.writePictures(first)); err != nil {
			return err
		}
		return g.printGraph(first)
	})
}

// ofLayout checks the graphs of the images in an OCI layout, without an engine.
func (g graphVerb) ofLayout(ctx context.Context) error {
	dir, ok := strings.CutPrefix(g.from, "oci:")
	if !ok {
		return failure.Usagef("read the image %q: it is no OCI layout: pass --from oci:DIR", g.from)
	}
	unlock, err := g.lockOutput(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return failure.Usagef("read the images of oci:%s: %w: pass the directory of an OCI layout to --from oci:", dir, err)
	}
	var images []registry.PlatformImage
	for _, platform := range g.platforms {
		img, err := engine.ImageFor(index, platform)
		if err == nil {
			err = validate.Image(img)
		}
		if err != nil {
			return fmt.Errorf("read the image of %s from oci:%s: %w", registry.Key(platform), dir, err)
		}
		images = append(images, registry.PlatformImage{Platform: platform, Image: img})
	}
	return g.checkImages(ctx, images)
}

// checkImages checks the graph of each platform's image, and writes and prints it according
// to the flags.
func (g graphVerb) checkImages(ctx context.Context, images []registry.PlatformImage) error {
	var changed []string
	if g.write {
		var err error
		if changed, err = g.documents.WriteGraph(ctx, g.err, "images", images, g.documents.InImage); err != nil {
			return err
		}
	}
	var first docs.Graph
	var drift []error
	for i, img := range images {
		found, err := g.documents.InspectGraph(ctx, g.err, img.Platform, img.Image)
		if err != nil {
			return err
		}
		if i == 0 {
			first = found
		}
		drift = append(drift, found.Drift...)
	}
	if err := errors.Join(append(drift, g.writePictures(first))...); err != nil {
		return err
	}
	if g.write {
		return g.printResult(readmeResult{Changed: len(changed) > 0, Files: changed}, written(changed, g.documents))
	}
	return g.printGraph(first)
}

// graphResult is the result as JSON.
type graphResult struct {
	D2 string `json:"d2"` // of the first platform
}

// printGraph prints the result.
func (g graphVerb) printGraph(of docs.Graph) error {
	return g.printResult(graphResult{D2: of.D2()}, of.D2())
}

// writePictures writes the pictures of a graph to the files of --svg, if it is set.
func (g graphVerb) writePictures(of docs.Graph) error {
	if g.svg == "" {
		return nil
	}
	ext := filepath.Ext(g.svg)
	for file, look := range map[string]initgraph.Theme{
		g.svg: initgraph.Light,
		strings.TrimSuffix(g.svg, ext) + "-dark" + ext: initgraph.Dark,
	} {
		svg, err := of.Picture(look)
		if err == nil {
			err = os.WriteFile(file, svg, 0o644)
		}
		if err != nil {
			return fmt.Errorf("write the picture of the init graph: %w", err)
		}
	}
	return nil
}
