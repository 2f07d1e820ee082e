package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/imagesize"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/report"
)

// SourceURL is the address of the project in the labels of its images.
const SourceURL = "https://github.com/linuxserver/docker-netbox"

// Build builds the image of one platform.
func (p *Pipeline) Build(ctx context.Context, platform v1.Platform) (registry.PlatformImage, error) {
	made := registry.PlatformImage{Platform: platform}
	if err := p.prepare(); err != nil {
		return made, err
	}
	base, err := p.base()
	if err != nil {
		return made, err
	}
	err = p.stage(ctx, report.Key{Stage: "build", Platform: registry.Key(platform)}, func(ctx context.Context, log io.Writer) (err error) {
		if made.Image, err = p.engine.Build(ctx, p.buildRequest(platform, base, log)); err != nil {
			return err
		}
		return p.describe(made, base)
	})
	return made, err
}

// checkBuilds has the engine check the builds before anything is built, if it can.
func (p *Pipeline) checkBuilds(ctx context.Context) error {
	checker, ok := p.engine.(engine.Checker)
	if !ok {
		return nil
	}
	base, err := p.base()
	if err != nil || base.Reference == "" { // a local base exists, and sending it takes time
		return err
	}
	return p.eachPlatform(func(_ int, platform v1.Platform) error {
		began := p.Now()
		err := checker.CheckBuild(ctx, p.buildRequest(platform, base, io.Discard))
		if err != nil {
			p.report.End(report.Key{Stage: "build", Platform: registry.Key(platform)}, began, p.Now().Sub(began), err, "")
		}
		return err
	})
}

func (p *Pipeline) buildRequest(of v1.Platform, base engine.Base, log io.Writer) engine.BuildRequest {
	row, _ := platform.Of(of.Architecture)
	return engine.BuildRequest{
		Platform:   of,
		Context:    p.Repo,
		Dockerfile: row.Dockerfile,
		Base:       base,
		Args: map[string]string{
			"NETBOX_RELEASE": p.Versions.NetBox.Release,
			"VERSION":        p.version(),
			"BUILD_DATE":     p.Source.Time.Format(time.RFC3339),
			"REVISION":       p.Source.Revision(),
		},
		Epoch: p.Versions.Stamp(),
		Log:   log,
	}
}

// version returns the version label of the image.
func (p *Pipeline) version() string {
	if p.Version != "" {
		return p.Version
	}
	return fmt.Sprintf("v%s-%s", p.Versions.NetBox.Release, p.Source.Short())
}

// describe adds the digest, size and layers of a built image to the report.
func (p *Pipeline) describe(img registry.PlatformImage, base engine.Base) error {
	key := registry.Key(img.Platform)
	digest, err := img.Image.Digest()
	manifest, manifestErr := img.Image.Manifest()
	layers, layersErr := imagesize.Layers(img.Image)
	if err := cmp.Or(err, manifestErr, layersErr); err != nil {
		return fmt.Errorf("read the image of %s: %w", key, err)
	}
	size := manifest.Config.Size
	for _, l := range layers {
		size += l.Size
	}
	p.report.Platform(key, func(r *report.Platform) {
		r.Image, r.Size, r.Layers, r.Groups = digest.String(), size, layers, imagesize.Groups(layers)
	})
	if base.Index == nil {
		return nil
	}
	baseImage, err := engine.ImageFor(base.Index, img.Platform)
	if err == nil {
		digest, err = baseImage.Digest()
	}
	if err != nil {
		return fmt.Errorf("read the base image of %s: %w", key, err)
	}
	p.report.Change(func(r *report.Report) {
		if r.Base.Digests == nil {
			r.Base.Digests = map[string]string{}
		}
		r.Base.Digests[key] = digest.String()
	})
	return nil
}
