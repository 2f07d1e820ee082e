package pipeline

import (
	"bytes"
	"fmt"
	"sync"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/progress"
)

// mostLog bounds the log that is kept of one stage, in bytes. What comes first
// is dropped first: the end says what went wrong.
const mostLog = 8 << 20

// stageLog shows the lines of a stage while it runs, and keeps them with their
// times since its start, as the logs of containers have them.
type stageLog struct {
	step  *progress.Step
	start time.Time
	now   func() time.Time

	mu      sync.Mutex
	waited  time.Duration
	partial []byte
	kept    bytes.Buffer
}

// Show passes on how far the stage is, which is not kept.
func (l *stageLog) Show(text string) { l.step.Show(text) }

// Waited takes note that another process kept the stage waiting, which is no
// part of its work.
func (l *stageLog) Waited(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waited += d
	l.step.Waited(d)
}

func (l *stageLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partial = append(l.partial, b...)
	for {
		line, rest, whole := bytes.Cut(l.partial, []byte("\n"))
		if !whole {
			break
		}
		fmt.Fprintf(&l.kept, "%9.3f %s\n", l.now().Sub(l.start).Seconds(), bytes.TrimRight(line, "\r "))
		l.partial = rest
	}
	if over := l.kept.Len() - mostLog; over > 0 {
		l.kept.Next(over)
		_, _ = l.kept.ReadBytes('\n') // the rest of a line that was cut
	}
	return l.step.Write(b)
}

// text is the log so far.
func (l *stageLog) text() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := bytes.Clone(l.kept.Bytes())
	if len(l.partial) > 0 {
		text = fmt.Appendf(text, "%9.3f %s\n", l.now().Sub(l.start).Seconds(), l.partial)
	}
	return text
}
