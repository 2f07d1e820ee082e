// Package linebuf splits a stream of writes into lines.
package linebuf

import (
	"bytes"
	"strings"
	"sync"
)

// Longest is the maximum length of a line in bytes; longer ones are split.
const Longest = 256 << 10

// Writer calls Line for each line written to it, without the line end. It is safe
// for concurrent use; calls of Line do not overlap.
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

// Flush calls Line for an unterminated last line.
func (w *Writer) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.part) > 0 {
		w.Line(strings.TrimRight(string(w.part), "\r"))
		w.part = nil
	}
}

// Shown returns what a terminal finally shows of a line: the text after the last
// carriage return, which programs use to redraw their progress.
func Shown(line string) string {
	line = strings.TrimRight(line, "\r ")
	return line[strings.LastIndexByte(line, '\r')+1:]
}

// First returns the first line of a text that is not blank.
func First(text string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(first)
}
