package pipeline

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/progress"
	"github.com/linuxserver/docker-netbox/pipeline/report"
)

// stages shows stages while they run and reports them when they have ended.
type stages struct {
	display *progress.Display
	now     func() time.Time
	report  *report.Builder
}

// stage runs one stage: it is shown while it runs and reported when it ended.
// The report keeps the log of every build, and of every stage that fails.
func (s stages) stage(ctx context.Context, key report.Key, do func(ctx context.Context, log io.Writer) error) error {
	if err := ctx.Err(); err != nil {
		s.report.Skip(key, "interrupted")
		return err
	}
	step := s.display.Step(key.Stage, key.Platform)
	err := do(ctx, step)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err() // how a killed program ended says nothing
	}
	name := ""
	if log := step.Log(); len(log) > 0 && (err != nil || key.Stage == "build") {
		name = logName(key.Stage, key.Platform)
		s.report.Log(name, log)
	}
	s.end(step, key, time.Time{}, err, name)
	return err
}

// end shows and reports what came of a stage, whose work was done at a moment that
// is zero for now. log names the log that shows more.
func (s stages) end(step *progress.Step, key report.Key, done time.Time, err error, log string) {
	step.EndAt(done, err)
	began, took := step.Work()
	s.report.End(key, began, took, err, log)
}

// Report is what was found so far. Where something failed, what was expected and
// is not there was skipped for it: the reason is what failed for that platform, or
// for all of them. Before anything is begun nothing is skipped.
func (s stages) Report() report.Report {
	r := s.report.Report()
	for _, missing := range r.Outcomes() {
		var failed []string
		for _, f := range r.Stages {
			of := f.Platform == "" || missing.Platform == "" || f.Platform == missing.Platform
			if of && f.Verdict() == report.Failed && f.Stage != "access" && f.Stage != "prerequisites" {
				failed = append(failed, f.Key.String())
			}
		}
		if missing.Verdict() == report.Missing && len(failed) > 0 {
			r.Stages = append(r.Stages, report.Stage{Key: missing.Key, Skipped: strings.Join(failed, ", ") + " failed"})
		}
	}
	return r
}
