//go:build linux

package harness

import (
	"flag"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	seed    = flag.Uint64("harness.seed", 0, "do again what a random test did with this seed; 0 is a new one")
	torture = flag.Duration("torture", 0, "how long each of the long tests runs; 0 skips them")
)

// Random returns a source of chance, which goroutines may share. All those of a test
// have one seed, which is logged, and each its own numbers.
func Random(tb testing.TB) *rand.Rand {
	tb.Helper()
	s := &seeded{seed: *seed}
	if s.seed == 0 {
		s.seed = rand.Uint64()
	}
	if known, ok := tests.LoadOrStore(tb, s); ok {
		s = known.(*seeded)
	} else {
		tb.Logf("to do this again: -harness.seed %d", s.seed)
		tb.Cleanup(func() { tests.Delete(tb) })
	}
	return newRandom(s.seed, s.sources.Add(1))
}

// tests has the *seeded of each test that runs, by its testing.TB.
var tests sync.Map

// seeded is the seed of a test, and how many sources have it.
type seeded struct {
	seed    uint64
	sources atomic.Uint64
}

func newRandom(seed1, seed2 uint64) *rand.Rand {
	return rand.New(&shared{source: rand.NewPCG(seed1, seed2)})
}

// shared is a source for several goroutines. A rand.Rand has no other state.
type shared struct {
	mu     sync.Mutex
	source *rand.PCG
}

func (s *shared) Uint64() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.source.Uint64()
}

// Below returns a time that is less than d.
func Below(random *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(d)))
}

// Torture skips a long test unless there is a budget of time for it, which it
// returns.
func Torture(tb testing.TB) time.Duration {
	tb.Helper()
	if *torture == 0 {
		tb.Skip("long: run with -torture 60s")
	}
	return *torture
}
