package pipeline

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/docs"
	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/environ"
	"github.com/linuxserver/docker-netbox/pipeline/initgraph"
	"github.com/linuxserver/docker-netbox/pipeline/progress"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
	"github.com/linuxserver/docker-netbox/pipeline/smoke"
)

const (
	probePath = "/netbox-probe"
	// browserPort is the debugging port of the container that Provider.Browser returns.
	browserPort = 9222
	// stopLimit is how long a container may take to exit after SIGTERM: a little
	// more than `docker stop` allows.
	stopLimit = 15 * time.Second
	// maxSlowdown is how many times slower than native programs emulated ones run at
	// most.
	maxSlowdown = 20
)

// phases are the stages of one run of a container, in order. Each starts when the
// previous one ends, which the container's output shows.
var phases = [...]string{"boot", "smoke", "stop"}

// boot runs the image of one platform against real services: it waits until the
// image is up, runs the smoke test and stops it. graph is the zero value when the
// init graph was not checked.
func (p *Pipeline) boot(ctx context.Context, of registry.PlatformImage, graph docs.Graph) error {
	key := registry.Key(of.Platform)
	sidecars, err := p.sidecars()
	if err != nil { // the sidecars stage reports it
		return err
	}
	browser, err := p.browser()
	if err != nil {
		return err
	}
	main, tree, err := p.netbox(of, graph.Tree, sidecars, browser)
	if err != nil {
		p.report.End(report.Key{Stage: phases[0], Platform: key}, p.Now(), 0, err, "")
		return err
	}
	p.Mask.Add(slices.Collect(maps.Values(main.Secrets))...)
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b := p.newBoot(key, len(tree.Closure("top")), cancel)
	result, err := p.engine.Run(run, engine.RunRequest{
		Main:    main,
		Sides:   []engine.Container{sidecars.Postgres, sidecars.Redis, browser},
		Timeout: p.Timeout,
		OnLine:  b.line,
	})
	if ctx.Err() == nil && run.Err() != nil {
		err = context.Cause(run) // the reason why the container was stopped
	}
	p.saveLogs(key, result)
	p.savePictures(key, result)
	failed, err := b.evaluate(tree, result, err)
	p.drawFailed(ctx, b.steps[0], of.Platform, graph, failed)
	return err
}

// netbox returns the container under test and its service tree. It reads the tree
// from the image when tree is nil.
func (p *Pipeline) netbox(of registry.PlatformImage, tree *s6rc.Tree, with Sidecars, browser engine.Container) (engine.Container, *s6rc.Tree, error) {
	none, key := engine.Container{}, registry.Key(of.Platform)
	probe, err := p.probe[p.provider.Program(of.Platform)]()
	if err != nil {
		return none, nil, err
	}
	if tree == nil {
		if _, tree, err = initgraph.FromImage(of.Image); err != nil {
			return none, nil, fmt.Errorf("read the init graph of %s: %w", key, err)
		}
	}
	config, err := of.Image.ConfigFile()
	if err != nil {
		return none, nil, fmt.Errorf("read the configuration of %s: %w", key, err)
	}
	env, secrets := with.Settings()
	slowdown := 1.0
	if of.Platform.Architecture != p.provider.Native().Architecture {
		slowdown = maxSlowdown
		if cpu := p.Versions.CPUs()[of.Platform.Architecture]; cpu != "" {
			env["QEMU_CPU"] = cpu
		}
	}
	maps.Copy(env, smoke.Env(probePath, environ.Parse(config.Config.Env)["S6_STAGE2_HOOK"]))
	env["S6_VERBOSITY"] = "2"
	maps.Copy(secrets, smoke.Secrets())
	return engine.Container{
		Name:      "netbox",
		Image:     of.Image,
		Args:      smoke.Command(probePath, p.Versions.NetBox.Release, fmt.Sprintf("%s:%d", browser.Name, browserPort), slowdown),
		Env:       env,
		Secrets:   secrets,
		Files:     []engine.File{{Path: probePath, Mode: 0o755, Content: probe}},
		StopGrace: stopLimit,
		Capture:   pictures(),
	}, tree, nil
}

// boot follows one run of a container and shows its phases.
type boot struct {
	p   *Pipeline
	key string

	cancel context.CancelCauseFunc // stops the run

	services int // how many the image starts

	mu      sync.Mutex
	exits   exitCounter
	up      int           // services that have started
	checked int           // checks of the smoke test that have run
	firstOK time.Duration // from the container's start until the log-in page answered; 0 before
	phase   int           // index of the current one in phases
	steps   [len(phases)]*progress.Step
}

func (p *Pipeline) newBoot(key string, services int, cancel context.CancelCauseFunc) *boot {
	b := &boot{p: p, key: key, services: services, cancel: cancel}
	b.begin()
	return b
}

func (b *boot) begin() {
	b.steps[b.phase] = b.p.display.Step(phases[b.phase], b.key)
}

// line handles each output line of the run's containers as it appears.
func (b *boot) line(container string, line engine.Line) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if container != "netbox" {
		fmt.Fprintf(b.steps[b.phase], "%s: %s\n", container, line.Text)
		return
	}
	fmt.Fprintf(b.steps[b.phase], "netbox: %s\n", b.withProgress(line.Text))
	if b.phase == 0 {
		if err := b.exits.add(line.Text); err != nil {
			b.cancel(fmt.Errorf("boot netbox on %s: %w", b.key, err))
		}
	}
	message, _ := smoke.Find(line.Text)
	if r := message.Result; r != nil && r.OK && r.Check == "ready" {
		b.firstOK = line.At
	}
	if b.phase == 0 && s6rc.ParseLine(line.Text).Kind == s6rc.KindReady || b.phase == 1 && message.StopTime != nil {
		b.steps[b.phase].WorkDone()
		b.phase++
		b.begin()
	}
}

// withProgress returns line with the progress of the phase: the number of services that
// are up, or of checks that have run, and their total.
func (b *boot) withProgress(line string) string {
	if s6rc.ParseLine(line).Kind == s6rc.KindStarted {
		b.up++
		return fmt.Sprintf("%s (%d of %d)", line, b.up, b.services)
	}
	if message, _ := smoke.Find(line); message.Result != nil {
		r := message.Result
		b.checked++
		verdict := "failed"
		if r.OK {
			verdict = "passed"
		}
		line = fmt.Sprintf("check %d of %d %s: %s: asked %s, got %s", b.checked, len(smoke.Checks()), verdict, r.Check, r.Asked, r.Got)
	}
	return line
}

// evaluate reports the result of each phase after the run has ended. failed names the
// services that did not start.
func (b *boot) evaluate(tree *s6rc.Tree, result engine.RunResult, runErr error) (failed []string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	// Not now: the sidecars stop after the container, which takes time.
	ended := result.Ended
	if ended.IsZero() {
		ended = b.p.now()
	}

	var events []s6rc.Event
	var texts []string
	for i, line := range result.Lines {
		e := s6rc.ParseLine(line.Text)
		e.At, e.Line = line.At, i+1
		events = append(events, e)
		texts = append(texts, line.Text)
	}
	live, bootErr := initgraph.CheckBoot(tree, events)
	smokeResults := smoke.Parse(texts)
	began, _ := b.steps[b.phase].Work()
	stopped := ended.Sub(began) // in the last phase
	for _, s := range live.Services {
		if s.Ready == 0 {
			failed = append(failed, s.Name)
		}
	}
	b.p.report.Platform(b.key, func(r *report.Platform) {
		r.Boot = &report.Boot{FirstOK: b.firstOK.Seconds(), PeakMemory: result.PeakMemory}
		if b.phase == 2 {
			r.Boot.Stop = stopped.Seconds()
		}
		for _, s := range live.Services {
			r.Boot.Services = append(r.Boot.Services, report.Service{Name: s.Name, Type: string(s.Type), Start: s.Start.Seconds(), Ready: s.Ready.Seconds()})
		}
		r.Boot.Critical = live.Critical
		for _, c := range smokeResults.Results {
			check := report.Check{Name: c.Check, Asked: c.Asked, Got: c.Got, Seconds: c.Seconds}
			if !c.OK {
				check.Error = c.String()
			}
			r.Smoke = append(r.Smoke, check)
		}
	})

	errs := [len(phases)]error{bootErr}
	if b.phase >= 1 {
		errs[1] = join(smokeResults.Err(), restarted(texts))
	}
	// The error that ended the run belongs to the last phase, before its other errors.
	switch {
	case runErr != nil:
		errs[b.phase] = join(runErr, errs[b.phase])
	case b.phase == 0:
		errs[0] = join(errs[0], fmt.Errorf("boot netbox on %s: it ended with status %d before all services were up%s",
			b.key, result.ExitCode, engine.LastLines(result.Lines)))
	case b.phase == 1 && errs[1] == nil:
		errs[1] = fmt.Errorf("ask netbox on %s: it ended with status %d before it was asked to stop%s",
			b.key, result.ExitCode, engine.LastLines(result.Lines))
	case b.phase == 2 && result.ExitCode != 0:
		errs[2] = fmt.Errorf("stop netbox on %s: it ended with status %d after SIGTERM, want 0", b.key, result.ExitCode)
	case b.phase == 2 && stopped > stopLimit:
		errs[2] = fmt.Errorf("stop netbox on %s: it took %.1f s from SIGTERM to its end, the limit is %s", b.key, stopped.Seconds(), stopLimit)
	}

	log := logName("netbox", b.key)
	for i, phase := range phases {
		key := report.Key{Stage: phase, Platform: b.key}
		if i > b.phase {
			b.p.report.Skip(key, "it did not get that far")
			continue
		}
		b.p.end(b.steps[i], key, ended, errs[i], log)
	}
	return failed, join(errs[:]...)
}

// restarted returns an error if svc-netbox, which supervises its own processes,
// logged the restart of one.
func restarted(lines []string) error {
	for _, line := range lines {
		if strings.HasPrefix(line, "[netbox] ") && strings.Contains(line, ": starting it again in ") {
			return fmt.Errorf("run netbox: a process of it did not last: %s", line)
		}
	}
	return nil
}

// logName returns the name of the log file of a container or stage. key is its
// platform, or empty.
func logName(of, key string) string {
	if key != "" {
		of += "-" + strings.ReplaceAll(key, "/", "-")
	}
	return of + ".log"
}

func (p *Pipeline) saveLogs(key string, result engine.RunResult) {
	logs := map[string][]engine.Line{"netbox": result.Lines}
	maps.Copy(logs, result.SideLines)
	for container, lines := range logs {
		var text strings.Builder
		for _, l := range lines {
			fmt.Fprintf(&text, "%9.3f %s %s\n", l.At.Seconds(), l.Stream, l.Text)
		}
		p.report.Log(logName(container, key), []byte(text.String()))
	}
}

// pictures returns the paths of the pictures that the probe writes.
func pictures() (files []string) {
	for _, c := range smoke.Checks() {
		if file := smoke.Picture(c.ID); file != "" {
			files = append(files, file)
		}
	}
	return files
}

func (p *Pipeline) savePictures(key string, result engine.RunResult) {
	for _, c := range smoke.Checks() {
		if data := result.Files[smoke.Picture(c.ID)]; len(data) > 0 {
			p.report.Platform(key, func(r *report.Platform) {
				r.Pictures = append(r.Pictures, report.Picture{
					Check: c.ID, Promise: c.Promise, PNG: data,
					Name: strings.ReplaceAll(key, "/", "-") + "-" + path.Base(smoke.Picture(c.ID)),
				})
			})
		}
	}
}
