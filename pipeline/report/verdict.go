package report

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Failure is a failure of a run and what to do about it. The terminal, the page,
// report.json and the summary on GitHub all show the first one.
type Failure struct {
	Key    Key      // the stage; zero when no stage ran
	What   string   // one line
	Next   string   // one line
	Log    string   // name of the log with details; empty when there is none
	Output []string // lines about the failure
}

// Why returns the failure in one line, prefixed with its stage.
func (f Failure) Why() string {
	if f.Key == (Key{}) {
		return f.What
	}
	return f.Key.String() + ": " + f.Text()
}

// Text returns the failure without its stage.
func (f Failure) Text() string { return strings.TrimPrefix(f.What, f.Key.String()+": ") }

// Last returns the last lines about the failure, as many as a summary shows.
func (f Failure) Last() []string { return f.Output[max(0, len(f.Output)-10):] }

// Verdict returns Passed if every expected stage passed, no other stage failed, no
// check of a running application failed and no init graph differs from the
// documented one. A run without expected stages fails.
func (r Report) Verdict() Verdict {
	if len(r.Failures()) > 0 {
		return Failed
	}
	return Passed
}

// Why returns the reason for the verdict in one line: the first failure, if any.
func (r Report) Why() string {
	if f := r.Failure(); f != nil {
		return f.Why()
	}
	return fmt.Sprintf("all %d stages passed", len(r.Expected))
}

// Failure returns the first failure; nil when the run passed.
func (r Report) Failure() *Failure {
	if all := r.Failures(); len(all) > 0 {
		return &all[0]
	}
	return nil
}

// WithCause returns the report with cause inserted before the errors of the first
// failed stage, because those may be misleading.
func (r Report) WithCause(cause error) Report {
	r.Stages = slices.Clone(r.Stages)
	if s := r.stage(cmp.Or(r.Failure(), &Failure{}).Key); s != nil {
		s.Errors = slices.Concat([]string{cause.Error()}, s.Errors)
	}
	return r
}

// Failures returns all reasons why a run did not pass: the errors of its stages or,
// if no stage failed, failed checks and stages that did not run. Failures of
// README.md come last: it is generated from what other stages check, so fixing the
// graph fixes it too.
func (r Report) Failures() (all []Failure) {
	var readme []Failure
	for _, s := range r.Stages {
		for _, e := range s.Errors {
			f := Failure{Key: s.Key, What: e, Log: s.Log, Output: s.Output}
			f.Next = f.next()
			if s.Stage == "readme" {
				readme = append(readme, f)
			} else {
				all = append(all, f)
			}
		}
	}
	if all = append(all, readme...); len(all) > 0 {
		return all
	}
	for _, s := range append(r.findings(), r.Outcomes()...) {
		switch {
		case s.Verdict() == Failed || s.Verdict() == Missing:
			all = append(all, Failure{Key: s.Key, What: s.Why(), Next: general})
		case s.Verdict() == Skipped && slices.Contains(r.Expected, s.Key):
			all = append(all, Failure{Key: s.Key, What: "it was skipped: " + s.Why(), Next: general})
		}
	}
	if len(r.Expected) == 0 {
		all = append(all, Failure{What: "no stage ran, so nothing was checked", Next: general})
	}
	return all
}

// findings returns the failed checks of running applications and the differences of
// init graphs, as failed stages.
func (r Report) findings() (all []Stage) {
	for _, p := range r.Platforms {
		for _, c := range p.Smoke {
			if c.Error != "" {
				all = append(all, Stage{Key: Key{"smoke", p.Platform}, Errors: []string{c.Name + ": " + c.Error}})
			}
		}
		for _, d := range p.Drift {
			all = append(all, Stage{Key: Key{"graph", p.Platform}, Errors: []string{d}})
		}
	}
	return all
}

// general is the instruction for failures without a specific one.
const general = "Correct what the line above names, then check it: go run ./ci check."

// instruction matches a line of a Dockerfile in a message: "Dockerfile:7: ".
var instruction = regexp.MustCompile(`(^|: )[^: ]+:\d+: `)

// noSpace matches the error of a full disk.
var noSpace = regexp.MustCompile(`(?i)no space left on device|disk quota exceeded`)

// next returns what to do about the failure.
func (f Failure) next() string {
	again := "go run ./ci " + f.Key.Stage
	if f.Key.Platform != "" {
		again += " --platform " + f.Key.Platform
	}
	switch {
	case strings.Contains(f.What, "interrupted") || strings.Contains(f.What, "context canceled"):
		return "Run it again: go run ./ci check. What was built is kept."
	case strings.Contains(f.What, "the disk was full"):
		return "Make room as the line above says, then check it: go run ./ci check."
	case noSpace.MatchString(f.What):
		return "Make room on the disk, for example with go run ./ci clean --cache. Then check it: go run ./ci check."
	case f.Key.Stage == "graph":
		return "Correct the services, or document the order that the image has: go run ./ci graph --write. Then check it: " + again
	case strings.Contains(f.What, ": run ") || strings.Contains(f.What, "; run "):
		return "Do what the line above says, then check it: go run ./ci check."
	case f.Key.Stage == "build" && instruction.MatchString(f.What):
		return "Correct the instruction that the line above names, then check it: " + again
	case f.Log != "" && logLine.MatchString(f.What):
		return fmt.Sprintf("Read logs/%s in the report, up to line %s.", f.Log, logLine.FindStringSubmatch(f.What)[1])
	case f.Log != "":
		return fmt.Sprintf("Read logs/%s in the report.", f.Log)
	case f.Key.Stage == "publish":
		return "When the registry works again: go run ./ci publish. What it has is not sent twice."
	}
	return general
}

// stage returns the stage with the given key; nil if it has not ended.
func (r Report) stage(key Key) *Stage {
	if i := slices.IndexFunc(r.Stages, func(s Stage) bool { return s.Key == key }); i >= 0 {
		return &r.Stages[i]
	}
	return nil
}

// Outcomes returns the stages that have ended, followed by the expected stages that
// have not.
func (r Report) Outcomes() []Stage {
	all := slices.Clone(r.Stages)
	for _, key := range r.Expected {
		if r.stage(key) == nil {
			all = append(all, Stage{Key: key, missing: true})
		}
	}
	return all
}

// Good reports whether all of the stages passed.
func (r Report) Good(keys ...Key) bool {
	return !slices.ContainsFunc(keys, func(key Key) bool {
		s := r.stage(key)
		return s == nil || s.Verdict() != Passed
	})
}

// Worst returns the first stage with the worst verdict for one platform, and a zero
// Stage if all passed.
func (r Report) Worst(platform string) (worst Stage) {
	for _, s := range append(r.Outcomes(), r.findings()...) {
		if v, than := s.Verdict(), worst.Verdict(); s.Platform == platform && v != Passed && (than == Passed || than != Failed && v == Failed) {
			worst = s
		}
	}
	return worst
}
