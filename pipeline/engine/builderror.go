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

// mountFlag matches the flags of RUN that do not help to explain a failure.
var mountFlag = regexp.MustCompile(`--(mount|network|security)=\S+\s*`)

// blame matches the lines of output that explain why a command failed.
var blame = regexp.MustCompile(`(?i)\b(error|fatal|failed|failure|denied|refused|cannot|can't|unable|missing|not found|no such|no space|invalid|unknown)\b|^E: |\w(Error|Exception)\b`)

// Error returns the failure in one line: the platform, the place in the
// Dockerfile, the instruction, its exit and the line of output that explains it.
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

// reason returns the last line of output that explains the failure, or else the
// last line.
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

// Lines returns the last lines of output of the failed instruction.
func (e *BuildError) Lines() []string { return e.Output }

// Unwrap returns the error of the instruction, such as its exit code.
func (e *BuildError) Unwrap() error { return e.Err }
