package base

import (
	"bytes"
	"io"
	"strings"
)

// lineLog passes whole lines on, each with a prefix and without secrets, and
// remembers the last ones for an error message.
type lineLog struct {
	to      io.Writer // may be nil
	prefix  string
	redact  *strings.Replacer
	pending []byte
	last    []string
}

const remembered = 40

func newLog(to io.Writer, prefix string, secrets []string) *lineLog {
	var pairs []string
	for _, s := range secrets {
		pairs = append(pairs, s, "***")
	}
	return &lineLog{to: to, prefix: prefix, redact: strings.NewReplacer(pairs...)}
}

func (l *lineLog) Write(p []byte) (int, error) {
	l.pending = append(l.pending, p...)
	for {
		line, rest, ok := bytes.Cut(l.pending, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		l.line(string(line))
		l.pending = rest
	}
}

// Flush hands out a last line that has no end.
func (l *lineLog) Flush() {
	if len(l.pending) > 0 {
		l.line(string(l.pending))
		l.pending = nil
	}
}

func (l *lineLog) line(text string) {
	// apt redraws a progress line; its last state is the one to keep.
	text = strings.TrimRight(text, "\r")
	text = l.redact.Replace(text[strings.LastIndexByte(text, '\r')+1:])
	l.last = append(l.last, text)
	if len(l.last) > remembered {
		l.last = l.last[1:]
	}
	if l.to != nil {
		io.WriteString(l.to, l.prefix+text+"\n")
	}
}
