// Package campaign controls randomness in tests that try many cases. By default
// nothing is random, so that all runs are the same.
package campaign

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"
)

var seed = flag.Uint64("seed", 0, "seed of the random campaigns (default: 1, or from the clock with -soak)")

// Seed returns and logs the seed of a campaign. Only a whole campaign uses the
// clock as its seed; -seed repeats it.
func Seed(t testing.TB, whole bool) uint64 {
	t.Helper()
	chosen := uint64(1)
	switch {
	case *seed != 0:
		chosen = *seed
	case whole:
		chosen = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d; -seed %[1]d repeats it", chosen)
	return chosen
}

// Moments returns n fractions of a duration: evenly spaced, or random in a whole
// campaign.
func Moments(t testing.TB, n int, whole bool) []float64 {
	t.Helper()
	moments := make([]float64, n)
	if !whole {
		for i := range moments {
			moments[i] = (float64(i) + 0.5) / float64(n)
		}
		return moments
	}
	random := rand.New(rand.NewPCG(Seed(t, whole), 0))
	for i := range moments {
		moments[i] = random.Float64()
	}
	return moments
}
