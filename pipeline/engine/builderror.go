package engine

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// stepLength bounds an instruction in a one-line message: a RUN may be a page.
const stepLength = 120

// OutputLines is how many last lines of a failing instruction's output a
// BuildError holds.
const OutputLines = 50

// mountFlag is a flag of RUN that says nothing about what failed.
var mountFlag = regexp.MustCompile(`--(mount|network|security)=\S+\s*`)

// blame marks the lines of output that say why a command failed.
var blame = regexp.MustCompile(`(?i)\b(error|fatal|failed|failure|denied|refused|cannot|can't|unable|missing|not found|no such|no space|invalid|unknown)\b|^E: |\w(Error|Exception)\b`)

// Error is the failure in one line: which platform, where in the Dockerfile,
// the instruction, what it ended with and the line of output that says why.
func (e *BuildError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "build %s: %s", e.Platform.String(), e.Dockerfile)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if step := strings.Join(strings.Fields(mountFlag.ReplaceAllString(e.Step, "")), " "); step != "" {
		if r := []rune(step); len(r) > stepLength {
			step = string(r[:stepLength]) + "…"
		}
		b.WriteString(": " + step)
	}
	if e.Err != nil {
		b.WriteString(": " + strings.TrimSpace(e.Err.Error()))
	}
	if why := e.reason(); why != "" {
		b.WriteString(": " + why)
	}
	return b.String()
}

// reason is the last line of output that says why, else the last one.
func (e *BuildError) reason() string {
	for _, line := range slices.Backward(e.Output) {
		if blame.MatchString(line) {
			return strings.TrimSpace(line)
		}
	}
	if n := len(e.Output); n > 0 {
		return strings.TrimSpace(e.Output[n-1])
	}
	return ""
}

// Lines is the end of the output of the instruction that failed.
func (e *BuildError) Lines() []string { return e.Output }

// Unwrap returns what the instruction ended with.
func (e *BuildError) Unwrap() error { return e.Err }
