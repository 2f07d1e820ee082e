package life

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// shrink removes the parts of a question that its failure does not need, for up to a
// minute.
func (a *asker) shrink(q question, wrong string) (small, why string) {
	deadline := time.Now().Add(time.Minute)
	fails := func(q question) bool {
		if time.Now().After(deadline) {
			return false
		}
		said, err := a.wrong(q)
		if said == "" || err != nil {
			return false
		}
		wrong = said
		return true
	}
	// In most cases a single variable is the cause.
	for variable := range texts {
		alone := question{Set: map[string][]byte{}, Files: map[string][]byte{}}
		if value, given := q.Set[variable]; given {
			alone.Set[variable] = value
		} else {
			alone.Files[variable] = q.Files[variable]
		}
		if fails(alone) {
			q = alone
			break
		}
	}
	for _, values := range []map[string][]byte{q.Set, q.Files} {
		for _, variable := range slices.Sorted(maps.Keys(values)) {
			value := values[variable]
			delete(values, variable)
			if fails(q) {
				continue
			}
			values[variable] = value
			letters := []rune(string(value))
			for size := len(letters) / 2; size > 0; size /= 2 {
				for at := 0; at+size <= len(letters); {
					less := slices.Delete(slices.Clone(letters), at, at+size)
					if values[variable] = []byte(string(less)); fails(q) {
						letters = less
					} else {
						at += size
					}
				}
			}
			values[variable] = []byte(string(letters))
		}
	}
	return q.String(), wrong
}

func (q question) String() string {
	var parts []string
	for _, variable := range slices.Sorted(maps.Keys(q.Set)) {
		parts = append(parts, variable+"="+brief(string(q.Set[variable])))
	}
	for _, variable := range slices.Sorted(maps.Keys(q.Files)) {
		parts = append(parts, "FILE__"+variable+" with "+brief(string(q.Files[variable])))
	}
	return strings.Join(parts, ", ")
}
