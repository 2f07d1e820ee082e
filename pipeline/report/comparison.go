package report

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Comparison is how a run differs from an earlier one.
type Comparison struct {
	Commit  string    `json:"commit"` // of the earlier run
	Started time.Time `json:"started"`
	Lines   []string  `json:"lines"`
}

// leastSeconds is the difference in the time of a stage that is worth a word.
const leastSeconds = 1

// Since compares the figures of a run with those of an earlier one: sizes,
// packages, boots and the stages whose time has changed, a line each. It is nil
// when the runs have nothing in common.
func (r Report) Since(before Report) *Comparison {
	var sizes, packages, boots, stages []string
	for _, p := range r.Platforms {
		for _, old := range before.Platforms {
			if old.Platform != p.Platform {
				continue
			}
			if p.Size > 0 && old.Size > 0 {
				sizes = append(sizes, fmt.Sprintf("%s %.1f MB (%s)", p.Platform, megabytes(p.Size), signed(megabytes(p.Size)-megabytes(old.Size), "%+.1f")))
			}
			if len(p.Packages) > 0 && len(old.Packages) > 0 {
				packages = append(packages, fmt.Sprintf("%s %d (%s)", p.Platform, len(p.Packages), signed(float64(len(p.Packages)-len(old.Packages)), "%+.0f")))
			}
			if p.Boot != nil && old.Boot != nil && p.Boot.FirstOK > 0 && old.Boot.FirstOK > 0 {
				boots = append(boots, fmt.Sprintf("%s %.1f s (%s)", p.Platform, p.Boot.FirstOK, signed(p.Boot.FirstOK-old.Boot.FirstOK, "%+.1f")))
			}
		}
	}
	for _, s := range r.Stages {
		old := before.stage(s.Key)
		if old == nil || s.Verdict() != Passed || old.Verdict() != Passed || math.Abs(s.Seconds-old.Seconds) < leastSeconds {
			continue
		}
		stages = append(stages, fmt.Sprintf("%s %.1f s (%+.1f)", s.Key, s.Seconds, s.Seconds-old.Seconds))
	}
	c := &Comparison{Commit: before.Commit, Started: before.Started}
	for _, line := range []struct {
		name  string
		parts []string
	}{{"size", sizes}, {"packages", packages}, {"first 200 after", boots}, {"stages", stages}} {
		if len(line.parts) > 0 {
			c.Lines = append(c.Lines, line.name+": "+strings.Join(line.parts, ", "))
		}
	}
	if len(c.Lines) == 0 {
		return nil
	}
	return c
}

// signed is a difference in words, "same" when it shows as none.
func signed(difference float64, format string) string {
	text := fmt.Sprintf(format, difference)
	if strings.Trim(text, "+-0.") == "" {
		return "same"
	}
	return text
}
