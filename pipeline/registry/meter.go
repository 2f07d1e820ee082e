package registry

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Step shows what happens at one registry while it happens. Package progress
// has them.
type Step interface {
	io.Writer         // lines of log
	Show(text string) // how far it is now; comes often and replaces what was shown
	End(err error)
}

// silence shows nothing.
type silence struct{}

func (silence) Write(b []byte) (int, error) { return len(b), nil }
func (silence) Show(string)                 {}
func (silence) End(error)                   {}

const (
	// showEvery is the least time between two Shows.
	showEvery = 100 * time.Millisecond
	// logEvery is the least time between two lines that say how far it is.
	logEvery = 10 * time.Second
)

// meter counts the bytes that move to and from one registry.
type meter struct {
	step  Step
	clock Clock

	mu            sync.Mutex
	what          string // is being done
	done, total   int64  // bytes
	shown, logged time.Time
}

func (m *meter) start(registry string, opts Options) {
	m.step, m.clock = silence{}, opts.Clock
	if opts.Step != nil {
		m.step = opts.Step(registry)
	}
}

// Write adds lines to the log.
func (m *meter) Write(b []byte) (int, error) { return m.step.Write(b) }

// begin starts to count from zero.
func (m *meter) begin(what string, blobs []blob) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.what, m.done, m.total = what, 0, 0
	for _, b := range blobs {
		m.total += b.size
	}
	m.shown, m.logged = time.Time{}, m.clock.now()
}

// add counts bytes that have moved, or takes back those of a failed attempt.
func (m *meter) add(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += n
	now := m.clock.now()
	if now.Sub(m.shown) < showEvery {
		return
	}
	m.shown = now
	text := fmt.Sprintf("%s: %.1f of %.1f MB", m.what, float64(m.done)/1e6, float64(m.total)/1e6)
	m.step.Show(text)
	if now.Sub(m.logged) >= logEvery {
		m.logged = now
		fmt.Fprintln(m.step, text)
	}
}

// countedLayer counts what is read of a layer, in any attempt.
type countedLayer struct {
	v1.Layer
	meter  *meter
	total  *atomic.Int64 // of all layers and attempts; nil when it is not sent but read back
	opened atomic.Bool

	mu sync.Mutex
	n  int64 // bytes that have moved
}

// set brings the count to n.
func (l *countedLayer) set(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.meter.add(n - l.n)
	l.n = n
}

func (l *countedLayer) Compressed() (io.ReadCloser, error) {
	rc, err := l.Layer.Compressed()
	if err != nil {
		return nil, err
	}
	l.opened.Store(true)
	l.set(0)
	return &countedReader{ReadCloser: rc, layer: l}, nil
}

type countedReader struct {
	io.ReadCloser
	layer *countedLayer
	n     int64
}

func (r *countedReader) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	r.n += int64(n)
	r.layer.set(r.n)
	if r.layer.total == nil {
		return n, err
	}
	r.layer.total.Add(int64(n))
	if err != nil && err != io.EOF && !errors.Is(err, fs.ErrClosed) { // the transport closes it, and knows why
		err = marked{err, errUnreadable}
	}
	return n, err
}
