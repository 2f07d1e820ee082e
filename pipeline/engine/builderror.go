package engine

import (
	"fmt"
	"strings"
)

// stepLength bounds an instruction in a one-line message: a RUN may be a page.
const stepLength = 120

// Error tells the failure in one line: which platform, where in the
// Dockerfile, the instruction, what it ended with and its last line of output.
func (e *BuildError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "build %s: %s", e.Platform.String(), e.Dockerfile)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if step := strings.Join(strings.Fields(e.Step), " "); step != "" {
		if r := []rune(step); len(r) > stepLength {
			step = string(r[:stepLength]) + "…"
		}
		b.WriteString(": " + step)
	}
	if e.Err != nil {
		b.WriteString(": " + strings.TrimSpace(e.Err.Error()))
	}
	if n := len(e.Output); n > 0 {
		b.WriteString(": " + strings.TrimSpace(e.Output[n-1]))
	}
	return b.String()
}

// Unwrap gives what the instruction ended with.
func (e *BuildError) Unwrap() error { return e.Err }
