//go:build linux

package contention

import (
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/testenv"
)

// processes contend in the main tests, and each of them goes through so many sections.
const (
	processes    = 8
	sections     = 100
	manySections = 500
)

func TestX01ManyProcesses(t *testing.T) { manyProcesses(t, testenv.Fewer(sections)) }

func TestX01ManyProcessesTorture(t *testing.T) {
	harness.Torture(t)
	manyProcesses(t, manySections)
}

func manyProcesses(t *testing.T, sections int) {
	faulttest.OnBoth(t, faulttest.LongLease, func(t *testing.T, spec harness.Spec) {
		h := harness.New(t, spec)
		h.Section = 200 * time.Microsecond
		workers := h.StartAll(processes)
		for _, w := range workers {
			w.Run(1, sections)
		}
		for _, w := range workers {
			w.Finished()
		}
		if v := h.Check(); v.Grants != processes*sections || v.LostHolds != 0 {
			t.Errorf("%d grants and %d of them lost, want %d and none", v.Grants, v.LostHolds, processes*sections)
		}
		h.CheckNothingIsLeft()
	})
}

func TestX02GrantsInOrderOfArrival(t *testing.T) {
	faulttest.OnBoth(t, faulttest.LongLease, func(t *testing.T, spec harness.Spec) {
		const waiters = 24
		h := harness.New(t, spec)
		holder := h.Start()
		holder.Lock().Granted()
		workers := h.StartAll(waiters)
		var calls []*harness.Call
		for _, w := range workers {
			c := w.Lock()
			c.Registered() // before the next calls
			calls = append(calls, c)
		}
		holder.MustUnlock()
		for i, c := range calls {
			c.Granted()
			workers[i].Write()
			workers[i].MustUnlock()
		}
		h.Check()
		h.CheckNothingIsLeft()
	})
}

// A process is killed every 50 ms, whatever it is doing, and replaced.
func TestX24KilledAllTheTime(t *testing.T) {
	t.Run("file", func(t *testing.T) { killAllTheTime(t, faulttest.File(t), testenv.Fewer(processes*sections/2)) })
	t.Run("redis", func(t *testing.T) { killAllTheTime(t, faulttest.Redis(t, 200*time.Millisecond), 50) })
}

func TestX24KilledAllTheTimeTorture(t *testing.T) {
	harness.Torture(t)
	killAllTheTime(t, faulttest.File(t), processes*manySections/2)
}

func killAllTheTime(t *testing.T, spec harness.Spec, sections int) {
	const every = 50 * time.Millisecond
	random := harness.Random(t)
	h := harness.New(t, spec)
	h.Section = 200 * time.Microsecond
	workers := h.StartAll(processes)
	for _, w := range workers {
		w.Run(1, 0)
	}
	for tick := time.Tick(every); h.Count(harness.Wrote) < sections; <-tick {
		i := random.IntN(len(workers))
		workers[i].Kill()
		workers[i] = h.Start()
		workers[i].Run(1, 0)
	}
	for _, w := range workers {
		w.Finish()
	}
	for _, w := range workers {
		w.Finished()
	}
	h.Check()
	h.CheckNothingIsLeft()
}
