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

// Directories under the output directory that a caller writes the report of
// Check and of BootAll to. They are two because what Check has proven stays
// proven when a person boots the image again.
const (
	CheckReport = "report"
	BootReport  = "boot"
)

// expect says which stages this run must have passed to be good: stages of
// each platform, and stages of the whole run.
func (p *Pipeline) expect(ofPlatform []string, ofRun ...string) {
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

// BuildAll builds the images of all platforms and joins them into the index,
// whose digest it returns.
func (p *Pipeline) BuildAll(ctx context.Context) (images []registry.PlatformImage, digest v1.Hash, err error) {
	p.expect([]string{"build"}, "prerequisites", "base", "index")
	images, err = p.eachImage(ctx, func(int, registry.PlatformImage) error { return nil })
	if err == nil {
		digest, err = p.index(ctx, images)
	}
	return images, digest, err
}

// GraphAll builds the images of all platforms and looks over their init graphs.
// It returns that of the first platform, whose Graph is nil when it could not be
// read.
func (p *Pipeline) GraphAll(ctx context.Context) (docs.Graph, error) {
	p.expect([]string{"build", "graph"}, "prerequisites", "base")
	graphs := make([]docs.Graph, len(p.Platforms))
	_, err := p.eachImage(ctx, func(i int, of registry.PlatformImage) (err error) {
		graphs[i], err = p.graph(ctx, of)
		return err
	})
	return graphs[0], err
}

// eachImage builds the images of all platforms and goes on with do for each.
func (p *Pipeline) eachImage(ctx context.Context, do func(i int, of registry.PlatformImage) error) ([]registry.PlatformImage, error) {
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
	p.expect(append([]string{"build"}, phases[:]...), "prerequisites", "base", "sidecars", "browser")
	if err := p.prepare(); err != nil {
		return err
	}
	defer p.makeSidecars()()
	_, err := p.eachImage(ctx, func(_ int, of registry.PlatformImage) error { return p.boot(ctx, of, docs.Graph{}) })
	return err
}

// Check does everything but publish to the outside, or also that when targets
// are given. It returns the digest of the index that was proven.
func (p *Pipeline) Check(ctx context.Context, targets []registry.Target, opts registry.Options) (v1.Hash, error) {
	ofRun := []string{"prerequisites", "base", "sidecars", "browser", "syft", "index", "publish", "readme"}
	if p.Before != nil {
		ofRun = append(ofRun, "difference")
	}
	if len(targets) > 0 {
		ofRun = append(ofRun, "access")
	}
	p.expect(append([]string{"build", "graph", "packages"}, phases[:]...), ofRun...)
	if err := p.access(ctx, targets, opts); err != nil {
		return v1.Hash{}, err
	}
	stale := p.checkReadme(ctx) // early, for it takes no time
	digest, err := p.prove(ctx)
	if err != nil {
		return digest, join(err, stale)
	}
	if stale != nil && len(targets) > 0 {
		return digest, stale // a red check moves no tag
	}
	return digest, join(p.Publish(ctx, targets, p.report.Report(), opts), stale)
}

// prove builds and boots every platform and joins what was proven in an index.
func (p *Pipeline) prove(ctx context.Context) (v1.Hash, error) {
	if err := p.prepare(); err != nil {
		return v1.Hash{}, err
	}
	if err := p.checkBuilds(ctx); err != nil {
		return v1.Hash{}, err
	}
	defer p.makeSidecars(func() { _, _ = p.syft() })()
	unlisted := make([]error, len(p.Platforms))
	// When the native image has been booted a core is free.
	free, first := make(chan struct{}), sync.Once{}
	images, err := p.eachImage(ctx, func(i int, of registry.PlatformImage) error {
		var listing sync.WaitGroup
		defer listing.Wait()
		defer first.Do(func() { close(free) })
		listing.Go(func() {
			<-free
			unlisted[i] = p.listPackages(ctx, of)
		})
		graph, drift := p.graph(ctx, of)
		if drift != nil && !errors.As(drift, new(initgraph.Drift)) {
			return drift // the services are not valid
		}
		return join(drift, p.boot(ctx, of, graph)) // one round shows all that is wrong
	})
	if err != nil {
		return v1.Hash{}, join(err, join(unlisted...))
	}
	digest, err := p.index(ctx, images)
	if err = join(err, join(unlisted...)); err != nil || p.Before == nil {
		return digest, err
	}
	return digest, p.compare(ctx, p.Before)
}

// makeSidecars makes the services, the browser and the probe while the images are
// built, whose Boot reports an error, and what else is to be made. wait returns
// when that has ended: nothing may outlive the run.
func (p *Pipeline) makeSidecars(also ...func()) (wait func()) {
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
