package pipeline

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/progress"
	"github.com/linuxserver/docker-netbox/pipeline/report"
)

// stages runs stages: it shows their progress and reports their results.
type stages struct {
	display *progress.Display
	now     func() time.Time
	report  *report.Builder
}

// stage runs one stage, shows its progress and reports its result. The report keeps
// the log of every build and of every stage that fails.
func (s stages) stage(ctx context.Context, key report.Key, do func(ctx context.Context, log io.Writer) error) error {
	if err := ctx.Err(); err != nil {
		s.report.Skip(key, "interrupted")
		return err
	}
	step := s.display.Step(key.Stage, key.Platform)
	err := do(ctx, step)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err() // the exit status of a killed program means nothing
	}
	name := ""
	if log := step.Log(); len(log) > 0 && (err != nil || key.Stage == "build") {
		name = logName(key.Stage, key.Platform)
		s.report.Log(name, log)
	}
	s.end(step, key, time.Time{}, err, name)
	return err
}

// end shows and reports the result of a stage that ended at done, or now when done is
// zero. log is the name of its log.
func (s stages) end(step *progress.Step, key report.Key, done time.Time, err error, log string) {
	step.EndAt(done, err)
	began, took := step.Work()
	s.report.End(key, began, took, err, log)
}

// Report returns the report so far. It marks the expected stages that have not run as
// skipped when a stage of the same platform, or of the whole run, has failed. Failures
// of access and prerequisites do not count: nothing was started then.
func (s stages) Report() report.Report {
	r := s.report.Report()
	for _, missing := range r.Outcomes() {
		var failed []string
		for _, f := range r.Stages {
			of := f.Platform == "" || missing.Platform == "" || f.Platform == missing.Platform
			switch f.Stage {
			case "access", "prerequisites":
				of = false
			case "readme", "packages": // only what comes after all platforms waits for these
				of = missing.Stage == "difference" || missing.Stage == "publish"
			}
			if of && f.Verdict() == report.Failed {
				failed = append(failed, f.Key.String())
			}
		}
		if missing.Verdict() == report.Missing && len(failed) > 0 {
			r.Stages = append(r.Stages, report.Stage{Key: missing.Key, Skipped: strings.Join(failed, ", ") + " failed"})
		}
	}
	return r
}
