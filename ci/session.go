package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/contents"
	"github.com/linuxserver/docker-netbox/pipeline/d2"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/filelock"
	"github.com/linuxserver/docker-netbox/pipeline/initgraph"
	"github.com/linuxserver/docker-netbox/pipeline/inputs"
	"github.com/linuxserver/docker-netbox/pipeline/progress"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/source"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

// session is a pipeline with everything around it, for one verb.
type session struct {
	env
	pipeline *pipeline.Pipeline
	display  *progress.Display
	endGroup func()
}

// session sets a pipeline up, hands it to do, and takes everything down again.
func (e env) session(ctx context.Context, do func(*session) error) (err error) {
	f := e.flags
	platforms, err := pipeline.ParsePlatforms(f.platforms)
	if err != nil {
		return err
	}
	engineName, why, err := e.chooseEngine()
	if err != nil {
		return err
	}
	pins, err := versions.Load(f.repo)
	if err != nil {
		return err
	}
	pins.NetBox.Release = cmp.Or(f.netbox, pins.NetBox.Release)
	base, err := e.baseName(pins)
	if err != nil {
		return err
	}
	version := ""
	var before func(context.Context) (*contents.Before, error)
	if e.keepTo != nil {
		version = e.keepTo.Version
		if e.keepTo.Commit != "" { // it is a whole plan
			before = e.before(e.keepTo.Published)
		}
		if ref := e.keepTo.Base.Reference(); ref != "" {
			base = ref
		}
	}
	if err := inputs.CheckBase(base); err != nil {
		return err
	}
	if err := source.CheckLineEnds(f.repo); err != nil {
		return err
	}
	commit, err := source.Git(ctx, f.repo)
	if err != nil {
		return err
	}
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	unlock, err := e.lock(ctx, cache, filelock.Shared)
	if err != nil {
		return err
	}
	defer unlock()

	eng, in, err := e.newEngine(ctx, engineName, base, cache, platforms, pins)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, eng.Close()) }()

	if e.keepTo != nil && e.keepTo.Commit != "" {
		if err := e.keepTo.Ready(commit, pins.NetBox.Release); err != nil {
			return err
		}
	}
	endGroup := e.actions.Group("Progress")
	defer endGroup()
	fmt.Fprintf(e.err, "engine: %s (%s)\n", engineName, why)
	display := e.display(ctx)
	defer display.Close()
	return do(&session{env: e, display: display, endGroup: endGroup, pipeline: pipeline.New(ctx, pipeline.Options{
		Repo:      f.repo,
		Output:    f.output,
		Platforms: platforms,
		BaseName:  base,
		Version:   version,
		Timeout:   f.timeout,
		Versions:  pins,
		Source:    commit,
		Syft:      e.tool(cache, "syft"),
		Attest:    e.vouch,
		Before:    before,
		D2:        d2.Tool{Module: e.tool(cache, "d2")},
		Mask:      e.mask,
		Now:       time.Now,
	}, eng, in, display)})
}

// lock keeps other runs from writing to the output directory and, with
// Exclusive, from using the cache.
func (e env) lock(ctx context.Context, cache string, mode filelock.Mode) (unlock func(), err error) {
	unlockCache, err := filelock.Lock(ctx, cache+".lock", mode, "the cache "+cache, e.flags.wait, e.err)
	if err != nil {
		return nil, err
	}
	unlockOutput, err := e.lockOutput(ctx)
	if err != nil {
		unlockCache()
		return nil, err
	}
	return func() { unlockOutput(); unlockCache() }, nil
}

// lockOutput keeps other runs from writing to the output directory.
func (e env) lockOutput(ctx context.Context) (unlock func(), err error) {
	output := e.flags.output
	return filelock.Lock(ctx, filepath.Join(output, ".lock"), filelock.Exclusive, "the output directory "+output, e.flags.wait, e.err)
}

func cacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", failure.Usagef("find the cache directory: %w: set HOME or XDG_CACHE_HOME", err)
	}
	return filepath.Join(dir, pipeline.Project), nil
}

// display shows progress on standard error, live when that is a terminal, until
// ctx ends the run.
func (e env) display(ctx context.Context) *progress.Display {
	opts := progress.Options{Now: time.Now, Hide: e.mask.Hide}
	if f, ok := e.err.(*os.File); ok {
		opts.Terminal = progress.Detect(f, e.getenv)
	}
	display := progress.New(e.err, opts)
	context.AfterFunc(ctx, display.Interrupt)
	return display
}

// toldError is an error that people have read already.
type toldError struct{ error }

func (t toldError) Unwrap() error { return t.error }

// printJSON is the result of a verb for programs.
func (e env) printJSON(v any) error {
	enc := json.NewEncoder(e.out)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write the result to standard output: %w", err)
	}
	return nil
}

// tell writes the summary for people and the report, unless reportDir is
// empty.
func (s *session) tell(err error, reportDir string) error {
	s.display.Close()
	s.endGroup()
	return s.tellReport(s.pipeline.Report(), err, reportDir, s.mermaid())
}

// mermaid is the init graph of the first platform that has one.
func (s *session) mermaid() string {
	for _, platform := range s.pipeline.Platforms {
		if text, err := s.pipeline.Drawing(platform); err == nil {
			if graph, err := initgraph.ParseD2(text); err == nil {
				return graph.Mermaid()
			}
		}
	}
	return ""
}

// tellReport is tell for a report at hand.
func (e env) tellReport(r report.Report, err error, reportDir, mermaid string) error {
	if reportDir != "" {
		// Nothing is compared when there is no earlier report, or one that cannot be read.
		if before, err := report.Load(filepath.Join(e.flags.output, reportDir)); err == nil {
			r.LastRun = r.Since(before)
		}
	}
	summary := r.Summary(e.err, progress.Width(e.err, e.getenv))
	if reportDir != "" {
		dir := filepath.Join(e.flags.output, reportDir)
		if writeErr := r.Write(dir, e.mask.Hide); writeErr != nil {
			return errors.Join(err, writeErr)
		}
		fmt.Fprintf(e.err, "report: %s\n", dir)
	}
	if actionsErr := e.actions.Report(r, mermaid); actionsErr != nil {
		return errors.Join(err, actionsErr)
	}
	if err != nil {
		return toldError{err}
	}
	if verdict, why, _ := r.Verdict(); verdict != report.Passed {
		return toldError{errors.New(why)}
	}
	return summary
}
