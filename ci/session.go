package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/d2"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/filelock"
	"github.com/linuxserver/docker-netbox/pipeline/progress"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	setup "github.com/linuxserver/docker-netbox/pipeline/session"
)

// session is the pipeline of one verb, with its display and log group.
type session struct {
	env
	pipeline *pipeline.Pipeline
	display  *progress.Display
	endGroup func()

	diskFull  func(error) error // returns an error if a full disk is the cause
	explained bool              // the report already names the full disk
}

// session creates a session, passes it to do and closes it.
func (e env) session(ctx context.Context, do func(*session) error) (err error) {
	f := e.flags
	name, why, err := e.chooseEngine()
	if err != nil {
		return err
	}
	opts := pipeline.Options{
		Repo: f.repo, Output: f.output, Timeout: f.timeout, Syft: e.tool("syft"), D2: d2.Tool{Module: e.tool("d2")},
		Attest: e.attest, Mask: e.mask, Now: time.Now,
	}
	if e.plan != nil && e.plan.IsRelease() {
		opts.Baseline = e.baseline(e.plan.Published)
	}
	if err := setup.Complete(ctx, &opts, setup.Request{
		Platforms: f.platforms, Base: e.base(name), Release: f.netbox, Plan: e.plan, Log: e.err,
	}); err != nil {
		return err
	}
	unlock, err := e.lock(ctx, filelock.Shared)
	if err != nil {
		return err
	}
	defer unlock()
	eng, in, err := e.newEngine(ctx, name, opts)
	if err != nil {
		return err
	}
	s := &session{env: e, diskFull: func(error) error { return nil }}
	if onDisk, ok := eng.(interface{ Full(error) error }); ok {
		s.diskFull = onDisk.Full
	}
	defer func() {
		err = errors.Join(err, eng.Close())
		if !s.explained {
			err = errors.Join(err, s.diskFull(err))
		}
	}()
	s.endGroup = e.actions.Group("Progress")
	defer s.endGroup()
	fmt.Fprintf(e.err, "engine: %s (%s)\n", name, why)
	s.display = e.display(ctx)
	defer s.display.Close()
	s.pipeline = pipeline.New(ctx, opts, eng, in, s.display)
	return do(s)
}

// lock locks the output directory against other runs and, with Exclusive, the cache.
func (e env) lock(ctx context.Context, mode filelock.Mode) (unlock func(), err error) {
	cache := e.flags.cache
	if cache == "" {
		return nil, failure.Usagef("find the cache directory: there is none: set HOME or XDG_CACHE_HOME")
	}
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

// lockOutput locks the output directory against other runs.
func (e env) lockOutput(ctx context.Context) (unlock func(), err error) {
	output := e.flags.output
	return filelock.Lock(ctx, filepath.Join(output, ".lock"), filelock.Exclusive, "the output directory "+output, e.flags.wait, e.err)
}

// display returns the display of progress on standard error, live if that is a
// terminal, until ctx ends.
func (e env) display(ctx context.Context) *progress.Display {
	opts := progress.Options{Now: time.Now, Hide: e.mask.Hide}
	if f, ok := e.err.(*os.File); ok {
		opts.Terminal = progress.Detect(f, e.getenv)
	}
	display := progress.New(e.err, opts)
	context.AfterFunc(ctx, display.Interrupt)
	return display
}

// printedError is an error that was already printed.
type printedError struct{ error }

func (p printedError) Unwrap() error { return p.error }

// print prints the result of a verb, as JSON with --json, else as text.
func (e env) print(result any, text func(io.Writer) error) error {
	if e.flags.json {
		return e.printJSON(result)
	}
	if err := text(e.out); err != nil {
		return fmt.Errorf("write the result to standard output: %w", err)
	}
	return nil
}

// printResult is print with the text as a string.
func (e env) printResult(result any, text string) error {
	return e.print(result, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

// printJSON prints the result of a verb as JSON.
func (e env) printJSON(v any) error {
	enc := json.NewEncoder(e.out)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write the result to standard output: %w", err)
	}
	return nil
}

// finish prints the summary and, unless reportDir is empty, writes the report.
func (s *session) finish(err error, reportDir string) error {
	s.display.Close()
	s.endGroup()
	r, err := s.explain(s.pipeline.Report(), err)
	return s.finishReport(r, err, reportDir)
}

// explain adds a full disk to the error and the report, if it is the cause.
func (s *session) explain(r report.Report, err error) (report.Report, error) {
	if full := s.diskFull(err); full != nil {
		s.explained = true
		return r.WithCause(full), errors.Join(full, err)
	}
	return r, err
}

// finishReport is finish for the given report.
func (e env) finishReport(r report.Report, err error, reportDir string) error {
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
	mermaid := "" // of the first platform with a graph
	for _, p := range r.Platforms {
		mermaid = cmp.Or(mermaid, p.Mermaid)
	}
	if actionsErr := e.actions.Report(r, mermaid); actionsErr != nil {
		return errors.Join(err, actionsErr)
	}
	if err != nil {
		return printedError{err}
	}
	if r.Verdict() != report.Passed {
		return printedError{errors.New(r.Why())}
	}
	return summary
}
