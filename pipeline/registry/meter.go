package registry

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Step shows the progress of one repository. Package progress implements it.
type Step interface {
	io.Writer         // lines of log
	Show(text string) // current progress; called often, replaces the previous text
	End(err error)
}

// discardStep is a Step that shows nothing.
type discardStep struct{}

func (discardStep) Write(b []byte) (int, error) { return len(b), nil }
func (discardStep) Show(string)                 {}
func (discardStep) End(error)                   {}

// logInterval is the minimum time between two progress lines in the log.
const logInterval = 10 * time.Second

// meter counts the bytes transferred to and from one repository.
type meter struct {
	step  Step
	clock Clock

	mu          sync.Mutex
	what        string // the operation
	done, total int64  // bytes
	logged      time.Time
}

// Write adds lines to the log.
func (m *meter) Write(b []byte) (int, error) { return m.step.Write(b) }

// begin resets the count for a new operation.
func (m *meter) begin(what string, blobs []blob) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.what, m.done, m.total = what, 0, 0
	for _, b := range blobs {
		m.total += b.size
	}
	m.logged = m.clock.now()
}

// add counts transferred bytes; n is negative to undo a failed attempt.
func (m *meter) add(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += n
	text := fmt.Sprintf("%s: %.1f of %.1f MB", m.what, float64(m.done)/1e6, float64(m.total)/1e6)
	m.step.Show(text)
	if now := m.clock.now(); now.Sub(m.logged) >= logInterval {
		m.logged = now
		fmt.Fprintln(m.step, text)
	}
}

// countedLayer counts the bytes read from a layer; each attempt starts at zero.
type countedLayer struct {
	v1.Layer
	meter *meter
	n     atomic.Int64 // bytes read in this attempt
}

// set changes the count of this layer to n.
func (l *countedLayer) set(n int64) { l.meter.add(n - l.n.Swap(n)) }

func (l *countedLayer) Compressed() (io.ReadCloser, error) {
	rc, err := l.Layer.Compressed()
	if err != nil {
		return nil, err
	}
	l.set(0)
	return struct {
		io.Reader
		io.Closer
	}{io.TeeReader(rc, l), rc}, nil
}

// Write counts bytes that have been read.
func (l *countedLayer) Write(b []byte) (int, error) {
	l.n.Add(int64(len(b)))
	l.meter.add(int64(len(b)))
	return len(b), nil
}
