//go:build linux

package harness

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"
)

var (
	seed    = flag.Uint64("harness.seed", 0, "do again what a random test did with this seed; 0 is a new one")
	torture = flag.Duration("torture", 0, "how long each of the long tests runs; 0 skips them")
)

// Random returns a source of chance and logs its seed.
func Random(tb testing.TB) *rand.Rand {
	tb.Helper()
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	tb.Logf("to do this again: -harness.seed %d", s)
	return rand.New(rand.NewPCG(s, s))
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
