package base

import (
	"io"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/linebuf"
)

// lineLog passes whole lines on, each with a prefix and without secrets, and
// remembers the last ones for an error message.
type lineLog struct {
	linebuf.Writer
	last []string
}

const remembered = 40

func newLog(to io.Writer, prefix string, secrets []string) *lineLog {
	var pairs []string
	for _, s := range secrets {
		pairs = append(pairs, s, "***")
	}
	redact := strings.NewReplacer(pairs...)
	l := &lineLog{}
	l.Line = func(text string) {
		// apt redraws a progress line; its last state is the one to show.
		text = redact.Replace(linebuf.Shown(text))
		l.last = append(l.last, text)
		l.last = l.last[max(0, len(l.last)-remembered):]
		if to != nil {
			io.WriteString(to, prefix+text+"\n")
		}
	}
	return l
}
