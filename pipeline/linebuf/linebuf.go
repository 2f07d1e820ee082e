// Package linebuf makes lines out of bytes that come in pieces of any size.
package linebuf

import (
	"bytes"
	"strings"
	"sync"
)

// Longest is where a line without an end is cut, in bytes.
const Longest = 256 << 10

// Writer calls Line with each line that is written to it, without its end. One
// goroutine at a time is let in.
type Writer struct {
	Line func(text string)

	mu   sync.Mutex
	part []byte
}

// Write never fails.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.part = append(w.part, p...)
	for {
		line, rest, whole := bytes.Cut(w.part, []byte("\n"))
		if !whole && len(line) < Longest {
			return len(p), nil
		}
		if len(line) > Longest {
			line, rest = w.part[:Longest], w.part[Longest:]
		}
		w.part = rest
		w.Line(strings.TrimRight(string(line), "\r"))
	}
}

// Flush hands out a last line that has no end.
func (w *Writer) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.part) > 0 {
		w.Line(strings.TrimRight(string(w.part), "\r"))
		w.part = nil
	}
}

// Shown is what a terminal shows of a line at last: what follows the carriage
// returns with which programs draw their progress.
func Shown(line string) string {
	line = strings.TrimRight(line, "\r ")
	return line[strings.LastIndexByte(line, '\r')+1:]
}

// First is the first line of a text that is not blank.
func First(text string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(first)
}
