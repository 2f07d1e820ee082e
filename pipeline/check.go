package pipeline

import (
	"context"
	"errors"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/docs"
	"github.com/linuxserver/docker-netbox/pipeline/initgraph"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/report"
)

// Directories under the output directory that callers write the reports of Check
// and BootAll to. They are separate so that booting the image again by hand does
// not replace the report of the check.
const (
	CheckReport = "report"
	BootReport  = "boot"
)

// setExpected sets the stages that must pass in this run: stages of each platform, and
// stages of the whole run.
func (p *Pipeline) setExpected(ofPlatform []string, ofRun ...string) {
	var keys []report.Key
	for _, stage := range ofRun {
		keys = append(keys, report.Key{Stage: stage})
	}
	for _, platform := range p.Platforms {
		for _, stage := range ofPlatform {
			keys = append(keys, report.Key{Stage: stage, Platform: registry.Key(platform)})
		}
	}
	p.report.Change(func(r *report.Report) { r.Expected = keys })
}

// BuildAll builds the images of all platforms and joins them into the index. It
// returns the images and the index's digest.
func (p *Pipeline) BuildAll(ctx context.Context) (images []registry.PlatformImage, digest v1.Hash, err error) {
	p.setExpected([]string{"build"}, "prerequisites", "base", "index")
	images, err = p.buildEach(ctx, func(int, registry.PlatformImage) error { return nil })
	if err == nil {
		digest, err = p.index(ctx, images)
	}
	return images, digest, err
}

// GraphAll builds the images of all platforms and checks their init graphs. It
// returns the graph of the first platform, whose Graph is nil when it could not be
// read.
func (p *Pipeline) GraphAll(ctx context.Context) (docs.Graph, error) {
	p.setExpected([]string{"build", "graph"}, "prerequisites", "base")
	graphs := make([]docs.Graph, len(p.Platforms))
	_, err := p.buildEach(ctx, func(i int, of registry.PlatformImage) (err error) {
		graphs[i], err = p.graph(ctx, of)
		return err
	})
	return graphs[0], err
}

// buildEach builds the images of all platforms and calls do for each.
func (p *Pipeline) buildEach(ctx context.Context, do func(i int, of registry.PlatformImage) error) ([]registry.PlatformImage, error) {
	images := make([]registry.PlatformImage, len(p.Platforms))
	err := p.eachPlatform(func(i int, platform v1.Platform) (err error) {
		if images[i], err = p.Build(ctx, platform); err != nil {
			return err
		}
		return do(i, images[i])
	})
	return images, err
}

// BootAll builds and boots the images of all platforms.
func (p *Pipeline) BootAll(ctx context.Context) error {
	p.setExpected(append([]string{"build"}, phases[:]...), "prerequisites", "base", "sidecars", "browser")
	if err := p.prepare(); err != nil {
		return err
	}
	defer p.prepareSidecars()()
	_, err := p.buildEach(ctx, func(_ int, of registry.PlatformImage) error { return p.boot(ctx, of, docs.Graph{}) })
	return err
}

// Check builds, boots and checks the images of all platforms, and publishes them
// when there are targets. It returns the digest of the checked index.
func (p *Pipeline) Check(ctx context.Context, targets []registry.Target, opts registry.Options) (v1.Hash, error) {
	ofRun := []string{"prerequisites", "base", "sidecars", "browser", "syft", "index", "publish", "readme"}
	if p.Baseline != nil {
		ofRun = append(ofRun, "difference")
	}
	if len(targets) > 0 {
		ofRun = append(ofRun, "access")
	}
	p.setExpected(append([]string{"build", "graph", "packages"}, phases[:]...), ofRun...)
	if err := p.access(ctx, targets, opts); err != nil {
		return v1.Hash{}, err
	}
	readmeErr := p.checkReadme(ctx) // first, because it is fast
	digest, err := p.checkImages(ctx)
	if err != nil {
		return digest, join(err, readmeErr)
	}
	if readmeErr != nil && len(targets) > 0 {
		return digest, readmeErr // nothing is published when a check fails
	}
	return digest, join(p.Publish(ctx, targets, p.report.Report(), opts), readmeErr)
}

// checkImages builds and checks the image of every platform and joins them into an index.
func (p *Pipeline) checkImages(ctx context.Context) (v1.Hash, error) {
	if err := p.prepare(); err != nil {
		return v1.Hash{}, err
	}
	if err := p.checkBuilds(ctx); err != nil {
		return v1.Hash{}, err
	}
	defer p.prepareSidecars(func() { _, _ = p.syft() })()
	listErrs := make([]error, len(p.Platforms))
	// Packages are listed once the native image has been booted: then a core is free.
	free, first := make(chan struct{}), sync.Once{}
	images, err := p.buildEach(ctx, func(i int, of registry.PlatformImage) error {
		var listing sync.WaitGroup
		defer listing.Wait()
		defer first.Do(func() { close(free) })
		listing.Go(func() {
			<-free
			listErrs[i] = p.listPackages(ctx, of)
		})
		graph, drift := p.graph(ctx, of)
		if drift != nil && !errors.As(drift, new(initgraph.Drift)) {
			return drift // the services are not valid
		}
		return join(drift, p.boot(ctx, of, graph)) // one run shows all errors
	})
	if err != nil {
		return v1.Hash{}, join(err, join(listErrs...))
	}
	digest, err := p.index(ctx, images)
	if err = join(err, join(listErrs...)); err != nil || p.Baseline == nil {
		return digest, err
	}
	return digest, p.compare(ctx, p.Baseline)
}

// prepareSidecars prepares the services, the browser and the probe, and calls also,
// while the images are built. boot reports their errors. wait returns when all of
// it has ended: nothing may outlive the run.
func (p *Pipeline) prepareSidecars(also ...func()) (wait func()) {
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = p.sidecars() })
	wg.Go(func() { _, _ = p.browser() })
	for _, platform := range p.Platforms {
		wg.Go(func() { _, _ = p.probe[p.provider.Program(platform)]() })
	}
	for _, do := range also {
		wg.Go(do)
	}
	return wg.Wait
}
