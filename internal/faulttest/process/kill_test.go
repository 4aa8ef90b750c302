//go:build linux

package process

import (
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/testenv"
)

func TestX03KillHolder(t *testing.T) {
	t.Run("file", func(t *testing.T) {
		kills := testenv.Fewer(100)
		h := harness.New(t, faulttest.File(t))
		var gaps []time.Duration
		holder := h.Start()
		holder.Lock().Granted()
		for range kills {
			next := h.Start()
			call := next.StandInLine()
			holder.Kill()
			gaps = append(gaps, faulttest.Since(holder.KilledAt(), call.Granted()))
			holder = next
		}
		holder.MustUnlock()
		h.Check()
		h.CheckNothingIsLeft()
		p50, p99 := faulttest.Quantiles(gaps)
		t.Logf("from kill -9 of the holder to the next grant: p50 %v, p99 %v", p50, p99)
		if p50 > faulttest.Soon {
			t.Errorf("half of the kills took more than %v", p50)
		}
	})
	t.Run("file, and those behind it with it", func(t *testing.T) {
		const kills, waiters = 10, 100
		h := harness.New(t, faulttest.File(t))
		var gaps []time.Duration
		for range kills {
			holder, next := h.Start(), h.Start()
			holder.Lock().Granted()
			for range waiters {
				holder.StandInLine()
			}
			call := next.StandInLine()
			holder.Kill()
			gaps = append(gaps, faulttest.Since(holder.KilledAt(), call.Granted()))
			next.MustUnlock()
		}
		h.Check()
		h.CheckNothingIsLeft()
		p50, p99 := faulttest.Quantiles(gaps)
		t.Logf("from kill -9 of the holder and %d behind it to the next grant: p50 %v, p99 %v", waiters, p50, p99)
		if p50 > faulttest.Soon {
			t.Errorf("half of the kills took more than %v", p50)
		}
	})
	t.Run("redis", func(t *testing.T) {
		const lease = 5 * time.Second
		faulttest.InTheEnd(t, func() (quick bool) {
			h := harness.New(t, faulttest.Redis(t, lease))
			workers := h.StartAll(3)
			workers[0].Lock().Granted()
			second, third := workers[1].StandInLine(), workers[2].StandInLine()
			workers[0].Kill()
			gap := faulttest.Since(workers[0].KilledAt(), second.Granted())
			t.Logf("from kill -9 of the holder to the next grant: %v, with a lease of %v", gap, lease)
			workers[1].MustUnlock()
			third.Granted()
			workers[2].MustUnlock()
			h.Check()
			h.CheckNothingIsLeft()
			return gap <= lease+faulttest.Soon
		})
	})
}

// A waiter in the middle of the line dies, and another one just before its turn.
func TestX04KillWaiter(t *testing.T) {
	faulttest.OnBoth(t, 4*time.Second, func(t *testing.T, spec harness.Spec) {
		faulttest.InTheEnd(t, func() (quick bool) {
			h := harness.New(t, spec)
			workers := h.StartAll(5)
			var calls []*harness.Call
			for _, w := range workers {
				c := w.StandInLine()
				calls = append(calls, c)
			}
			calls[0].Granted()
			workers[2].Kill()
			workers[3].Kill()
			workers[0].MustUnlock()
			calls[1].Granted()
			released := workers[1].MustUnlock()
			gap := faulttest.Since(released, calls[4].Granted())
			t.Logf("two dead waiters have cost %v", gap)
			workers[4].MustUnlock()
			h.Check()
			h.CheckNothingIsLeft()
			return gap <= spec.Stale+faulttest.Soon
		})
	})
}

// 200 dead waiters cost one lease, not 200; on a file queue nothing.
func TestX05ManyDeadWaiters(t *testing.T) {
	faulttest.OnBoth(t, 4*time.Second, func(t *testing.T, spec harness.Spec) {
		const dying, each = 10, 20
		faulttest.InTheEnd(t, func() (quick bool) {
			h := harness.New(t, spec)
			holder := h.Start()
			holder.Lock().Granted()
			workers := h.StartAll(dying)
			for _, w := range workers {
				for range each {
					w.StandInLine()
				}
			}
			last := h.Start()
			call := last.StandInLine()
			for _, w := range workers {
				w.Kill()
			}
			killed := workers[dying-1].KilledAt()
			holder.MustUnlock()
			gap := faulttest.Since(killed, call.Granted())
			t.Logf("%d dead waiters have cost %v", dying*each, gap)
			last.MustUnlock()
			h.Check()
			h.CheckNothingIsLeft()
			return gap <= spec.Stale+faulttest.Soon
		})
	})
}

// All the ways in which a process can end while it holds the lock.
func TestX14WaysToEnd(t *testing.T) {
	for _, way := range []string{"exit 0", "exit 1", "fatal", "panic", "signal 15", "signal 1", "signal 2", "signal 6"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			faulttest.OnBoth(t, 5*time.Second, func(t *testing.T, spec harness.Spec) {
				faulttest.InTheEnd(t, func() (quick bool) {
					h := harness.New(t, spec)
					watcher, holder := h.Start(), h.Start()
					holder.Lock().Granted()
					call := watcher.StandInLine()
					began := harness.Event{At: harness.Now()}
					holder.Tell("end", way)
					state := holder.Ends()
					gap := faulttest.Since(began, call.Granted())
					t.Logf("after %v the next owns after %v", state, gap)
					watcher.MustUnlock()
					h.Check()
					h.CheckNothingIsLeft()
					return gap <= spec.Stale+faulttest.Soon
				})
			})
		})
	}
}
