package engine

import (
	"fmt"
	"slices"
	"strings"
)

// LastLines formats the last lines of a log for the end of an error message.
// Repeated lines are printed once, with their count.
func LastLines(lines []Line) string {
	if len(lines) == 0 {
		return "; it wrote nothing"
	}
	var last []string
	count := 1
	for i, line := range slices.Backward(lines) {
		if i > 0 && lines[i-1].Text == line.Text {
			count++
			continue
		}
		text := line.Text
		if count > 1 {
			text = fmt.Sprintf("%s (%d times)", text, count)
			count = 1
		}
		if last = append(last, text); len(last) == 5 {
			break
		}
	}
	slices.Reverse(last)
	return "; its last lines: " + strings.Join(last, " | ")
}
