package base

import (
	"io"

	"github.com/linuxserver/docker-netbox/pipeline/linebuf"
	"github.com/linuxserver/docker-netbox/pipeline/secret"
)

// lineLog writes complete lines, each with a prefix and with secrets masked. It
// keeps the last lines for an error message.
type lineLog struct {
	linebuf.Writer
	last []string
}

const keptLines = 40

func newLog(to io.Writer, prefix string, secrets []string) *lineLog {
	var mask secret.Mask
	mask.Add(secrets...)
	l := &lineLog{}
	l.Line = func(text string) {
		// apt overwrites its progress line: log only the final text.
		text = mask.Hide(linebuf.Shown(text))
		l.last = append(l.last, text)
		l.last = l.last[max(0, len(l.last)-keptLines):]
		if to != nil {
			io.WriteString(to, prefix+text+"\n")
		}
	}
	return l
}
