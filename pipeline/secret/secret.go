// Package secret masks the secrets of a run in everything the run prints.
package secret

import (
	"slices"
	"strings"
	"sync"
)

// Mask knows secrets and hides them in text. The zero value knows none. It may
// be used by many goroutines at once.
type Mask struct {
	// Known receives every secret once, when it becomes known. It may be nil.
	Known func(secret string)

	mu       sync.RWMutex
	values   []string
	replacer *strings.Replacer
}

// Add makes values secret from now on. Empty ones are ignored.
func (m *Mask) Add(values ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range values {
		if v != "" && !slices.Contains(m.values, v) {
			m.values = append(m.values, v)
			if m.Known != nil {
				m.Known(v)
			}
		}
	}
	// The longest first: a secret that begins with another is hidden whole.
	slices.SortStableFunc(m.values, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, v := range m.values {
		pairs = append(pairs, v, "***")
	}
	m.replacer = strings.NewReplacer(pairs...)
}

// Short is how long a secret has to be at least: a shorter one occurs in
// innocent text, and where it is hidden it stands apart from what is around it.
const Short = 8

// minLength is the length from which AddLines makes a value secret: shorter
// ones occur in innocent text everywhere.
const minLength = 4

// AddLines makes every line of the values secret: in a log, a secret of
// several lines shows up line by line.
func (m *Mask) AddLines(values ...string) {
	for _, value := range values {
		for part := range strings.Lines(value) {
			if part = strings.TrimSpace(part); len(part) >= minLength {
				m.Add(part)
			}
		}
	}
}

// Hide returns s with every secret in it replaced by ***.
func (m *Mask) Hide(s string) string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.replacer == nil {
		return s
	}
	return m.replacer.Replace(s)
}
