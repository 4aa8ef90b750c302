//go:build linux

package harness

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Storm is a random schedule: for a time, things go wrong; then nothing does,
// and every waiter must be served.
type Storm struct {
	Workers  int
	Duration time.Duration // of the first phase

	Kills bool // workers are killed, and replaced
	Stops bool // workers are stopped, for up to LongestStop, and continued
	// LongestStop may be longer than the lease.
	LongestStop time.Duration

	// Break, if any, is what else goes wrong, and Heal undoes all of it.
	Break func(random *rand.Rand)
	Heal  func()
}

// mean is the time between two things that go wrong.
const mean = 20 * time.Millisecond

// Run runs the storm on the harness, which must have no workers yet, and checks
// what came of it.
func (s Storm) Run(tb testing.TB, h *Harness) Verdict {
	tb.Helper()
	random := Random(tb)
	workers := h.StartAll(s.Workers)
	for _, w := range workers {
		w.Run(1, 0)
	}
	stopped := make(map[int]time.Time) // by place, until when
	for end := time.Now().Add(s.Duration); time.Now().Before(end); {
		time.Sleep(time.Duration(random.Int64N(int64(2 * mean))))
		for i, until := range stopped {
			if time.Now().After(until) {
				workers[i].Continue()
				delete(stopped, i)
			}
		}
		i := random.IntN(len(workers))
		_, stands := stopped[i]
		switch random.IntN(3) {
		case 0:
			if s.Kills {
				workers[i].Kill()
				delete(stopped, i)
				workers[i] = h.Start()
				workers[i].Run(1, 0)
			}
		case 1:
			if s.Stops && !stands {
				workers[i].Stop()
				stopped[i] = time.Now().Add(time.Duration(random.Int64N(int64(s.LongestStop))))
			}
		case 2:
			if s.Break != nil {
				s.Break(random)
			}
		}
	}
	for i := range stopped {
		workers[i].Continue()
	}
	if s.Heal != nil {
		s.Heal()
	}
	// The quiet phase: each is served, and more than once.
	for _, w := range workers {
		served := w.Count(Released)
		w.Await(w.Mark(), "being served", func(e Event) bool { return e.Kind == Released && e.Cause == None })
		for w.Count(Released) < served+3 {
			time.Sleep(time.Millisecond)
		}
	}
	for _, w := range workers {
		w.Finish()
	}
	for _, w := range workers {
		w.Finished()
	}
	v := h.Check()
	h.CheckNothingIsLeft()
	return v
}
