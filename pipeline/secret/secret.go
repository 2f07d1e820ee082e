// Package secret masks the secrets of a run in all its output.
package secret

import (
	"slices"
	"strings"
	"sync"
)

// Mask replaces secrets in text. The zero value has none. It is safe for concurrent
// use.
type Mask struct {
	// Known is called once with each secret when it is added. It may be nil.
	Known func(secret string)

	mu       sync.RWMutex
	values   []string
	replacer *strings.Replacer
}

// Add adds secrets. Empty values are ignored.
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
	// Longest first: a secret that begins with another one is hidden whole.
	slices.SortStableFunc(m.values, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, v := range m.values {
		pairs = append(pairs, v, "***")
	}
	m.replacer = strings.NewReplacer(pairs...)
}

// MinLength is the least length of a good secret in bytes. A shorter one also occurs in
// unrelated text, where masking damages the text and reveals the secret.
const MinLength = 8

// minLineLength is the length from which AddLines adds a line as a secret: shorter lines
// occur in unrelated text everywhere.
const minLineLength = 4

// AddLines adds every line of the values as a secret: logs are written line by line.
func (m *Mask) AddLines(values ...string) {
	for _, value := range values {
		for part := range strings.Lines(value) {
			if part = strings.TrimSpace(part); len(part) >= minLineLength {
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
