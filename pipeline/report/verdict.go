package report

import (
	"fmt"
	"slices"
	"strings"
)

// Failure is what broke first in a run, and the one thing to do about it. The
// terminal, the page, report.json and the summary on GitHub all show this one.
type Failure struct {
	Key    Key      // the stage; zero when none failed
	What   string   // one line
	Next   string   // one line
	Log    string   // name of the log that shows more; empty when there is none
	Output []string // lines that show what went wrong
}

// Why is the failure in one line, with its stage named once.
func (f Failure) Why() string {
	if f.Key == (Key{}) {
		return f.What
	}
	return f.Key.String() + ": " + f.Text()
}

// Text is the failure without its stage.
func (f Failure) Text() string { return strings.TrimPrefix(f.What, f.Key.String()+": ") }

// Verdict says if the run passed and, if not, the first reason and what to do
// next.
//
// A run passes when every expected stage has ended and passed, no other stage
// failed, no check of a running application failed and no init graph drifted.
// A run that expected nothing has proven nothing.
func (r Report) Verdict() (verdict Verdict, why, next string) {
	if f := r.Failure(); f != nil {
		return Failed, f.Why(), f.Next
	}
	return Passed, fmt.Sprintf("all %d stages passed", len(r.Expected)), ""
}

// Failure is what broke first; nil when the run passed. README.md comes after
// everything else: it is made from what other stages check, and a repaired
// graph repairs it too.
func (r Report) Failure() *Failure {
	var first *Failure
	for _, s := range r.Stages {
		if s.Verdict() == Failed && (first == nil || first.Key.Stage == "readme") {
			first = &Failure{Key: s.Key, What: s.Errors[0], Log: s.Log, Output: s.Output}
		}
	}
	if first == nil {
		first = r.unmet()
	}
	if first != nil {
		first.Next = first.next()
	}
	return first
}

// unmet is what keeps a run from passing although no stage failed.
func (r Report) unmet() *Failure {
	for _, p := range r.Platforms {
		for _, c := range p.Smoke {
			if c.Error != "" {
				return &Failure{What: fmt.Sprintf("smoke %s: %s: %s", p.Platform, c.Name, c.Error)}
			}
		}
		if len(p.Drift) > 0 {
			return &Failure{What: fmt.Sprintf("init graph %s: %s", p.Platform, p.Drift[0])}
		}
	}
	for _, key := range r.missing() {
		return &Failure{What: fmt.Sprintf("%s: it was never run", key)}
	}
	for _, key := range r.Expected {
		if s := r.stage(key); s.Verdict() != Passed {
			return &Failure{What: fmt.Sprintf("%s: it was skipped: %s", key, s.Skipped)}
		}
	}
	if len(r.Expected) == 0 {
		return &Failure{What: "no stage ran, so nothing was checked"}
	}
	return nil
}

// next is the one thing to do.
func (f Failure) next() string {
	again := "go run ./ci " + f.Key.Stage
	if f.Key.Platform != "" {
		again += " --platform " + f.Key.Platform
	}
	switch {
	case strings.Contains(f.What, "interrupted") || strings.Contains(f.What, "context canceled"):
		return "Run it again: go run ./ci check. What was built is kept."
	case f.Key.Stage == "graph":
		return "Correct the services, or document the order that the image has: go run ./ci graph --write. Then check it: " + again
	case strings.Contains(f.What, ": run ") || strings.Contains(f.What, "; run "):
		return "Do what the line above says, then check it: go run ./ci check."
	case f.Key.Stage == "build":
		return "Correct the instruction that the line above names, then check it: " + again
	case f.Log != "" && logLine.MatchString(f.What):
		return fmt.Sprintf("Read logs/%s in the report, up to line %s.", f.Log, logLine.FindStringSubmatch(f.What)[1])
	case f.Log != "":
		return fmt.Sprintf("Read logs/%s in the report.", f.Log)
	case f.Key.Stage == "publish":
		return "When the registry works again: go run ./ci publish. What it has is not sent twice."
	}
	return "Correct what the line above names, then check it: go run ./ci check."
}

// stage is the stage of that key; nil when it has not ended.
func (r Report) stage(key Key) *Stage {
	if i := slices.IndexFunc(r.Stages, func(s Stage) bool { return s.Key == key }); i >= 0 {
		return &r.Stages[i]
	}
	return nil
}

// missing are the stages that were expected and never ended.
func (r Report) missing() (keys []Key) {
	for _, key := range r.Expected {
		if r.stage(key) == nil {
			keys = append(keys, key)
		}
	}
	return keys
}

// Good reports whether each of the stages has ended and passed.
func (r Report) Good(keys ...Key) bool {
	for _, key := range keys {
		if s := r.stage(key); s == nil || s.Verdict() != Passed {
			return false
		}
	}
	return true
}

// PlatformVerdict is the worst of what was found out about one platform, and
// the first reason for it.
func (r Report) PlatformVerdict(platform string) (worst Verdict, why string) {
	worst = Passed
	note := func(v Verdict, reason string) {
		if worst == Passed || worst != Failed && v == Failed {
			worst, why = v, reason
		}
	}
	for _, s := range r.Stages {
		switch {
		case s.Platform != platform:
		case s.Verdict() == Failed:
			note(Failed, s.Stage+": "+s.Errors[0])
		case s.Verdict() == Skipped:
			note(Skipped, s.Stage+": "+s.Skipped)
		}
	}
	for _, p := range r.Platforms {
		for _, c := range p.Smoke {
			if p.Platform == platform && c.Error != "" {
				note(Failed, c.Error)
			}
		}
	}
	for _, key := range r.missing() {
		if key.Platform == platform {
			note(Missing, key.Stage+" was never run")
		}
	}
	return worst, why
}
