package local

import (
	"slices"
	"strings"
	"sync"
)

// minSecret is the length from which a value is masked: shorter ones occur in
// innocent text everywhere.
const minSecret = 4

// mask replaces secret values in text.
type mask struct {
	mu       sync.RWMutex
	values   []string
	replacer *strings.Replacer
}

func (m *mask) add(secrets map[string]string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, value := range secrets {
		// A secret of several lines shows up line by line.
		for _, part := range append(strings.Split(value, "\n"), value) {
			if part = strings.TrimSpace(part); len(part) >= minSecret && !slices.Contains(m.values, part) {
				m.values = append(m.values, part)
			}
		}
	}
	// Longest first: one may be part of another.
	slices.SortFunc(m.values, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, v := range m.values {
		pairs = append(pairs, v, "***")
	}
	m.replacer = strings.NewReplacer(pairs...)
}

func (m *mask) apply(s string) string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.replacer == nil {
		return s
	}
	return m.replacer.Replace(s)
}
