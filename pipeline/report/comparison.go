package report

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"
)

// Comparison lists the differences between a run and an earlier one.
type Comparison struct {
	Commit  string    `json:"commit"` // of the earlier run
	Started time.Time `json:"started"`
	Lines   []string  `json:"lines"`
}

// leastSeconds is the smallest change of a stage's duration that is reported.
const leastSeconds = 1

// Since compares the figures of a run with those of an earlier one: sizes,
// packages, boot times and changed durations of stages, one line each. It returns
// nil when the runs have nothing in common.
func (r Report) Since(before Report) *Comparison {
	c := &Comparison{Commit: before.Commit, Started: before.Started}
	add := func(name string, parts []string) {
		if len(parts) > 0 {
			c.Lines = append(c.Lines, name+": "+strings.Join(parts, ", "))
		}
	}
	for _, figure := range []struct {
		name   string
		digits int
		unit   string
		of     func(Platform) float64 // 0 when unknown
	}{
		{"size", 1, " MB", func(p Platform) float64 { return megabytes(p.Size) }},
		{"packages", 0, "", func(p Platform) float64 { return float64(len(p.Packages)) }},
		{"first 200 after", 1, " s", func(p Platform) float64 { return cmp.Or(p.Boot, &Boot{}).FirstOK }},
	} {
		var parts []string
		for _, p := range r.Platforms {
			for _, old := range before.Platforms {
				if now, was := figure.of(p), figure.of(old); p.Platform == old.Platform && now > 0 && was > 0 {
					parts = append(parts, fmt.Sprintf("%s %.*f%s (%s)", p.Platform, figure.digits, now, figure.unit, signed(now-was, figure.digits)))
				}
			}
		}
		add(figure.name, parts)
	}
	var stages []string
	for _, s := range r.Stages {
		old := before.stage(s.Key)
		if old != nil && s.Verdict() == Passed && old.Verdict() == Passed && math.Abs(s.Seconds-old.Seconds) >= leastSeconds {
			stages = append(stages, fmt.Sprintf("%s %.1f s (%+.1f)", s.Key, s.Seconds, s.Seconds-old.Seconds))
		}
	}
	add("stages", stages)
	if len(c.Lines) == 0 {
		return nil
	}
	return c
}

// signed formats a difference with its sign, or as "same" if it rounds to zero.
func signed(difference float64, digits int) string {
	text := fmt.Sprintf("%+.*f", digits, difference)
	if strings.Trim(text, "+-0.") == "" {
		return "same"
	}
	return text
}
