//go:build linux

package faulttest

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/harness"
)

// Disturb does something to the server again and again while workers contend,
// and checks that each of them got through so many sections. They go on until something
// was done three times since they began: the first time may have been too early for them
// to notice.
func Disturb(t *testing.T, spec harness.Spec, sections int, every time.Duration, disturbance func(ctx context.Context) error) harness.Verdict {
	t.Helper()
	const workers, atLeast = 4, 3
	h := harness.New(t, spec)
	h.Tolerant = true
	h.Section = 200 * time.Microsecond
	all := h.StartAll(workers)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, w := range all {
		w.Run(1, 0)
	}
	var times atomic.Int64
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for tick := time.NewTicker(every); ctx.Err() == nil; times.Add(1) {
			passed := h.Count(harness.Released)
			if err := disturbance(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			// On a busy machine nothing might get through between two disturbances.
			for <-tick.C; h.Count(harness.Released) == passed && ctx.Err() == nil; {
				time.Sleep(time.Millisecond)
			}
		}
	}()
	for _, w := range all {
		passed := 0
		w.Await(0, "all of its sections", func(e harness.Event) bool {
			if e.Kind == harness.Released {
				passed++
			}
			return passed == sections
		})
	}
	for times.Load() < atLeast {
		time.Sleep(5 * time.Millisecond)
	}
	for _, w := range all {
		w.Finish()
	}
	for _, w := range all {
		w.Finished()
	}
	cancel()
	<-ended
	t.Logf("disturbed %d times", times.Load())
	v := h.Check()
	h.CheckNothingIsLeft()
	return v
}

// UnderLoad has workers contend while fail makes something fail, and checks that
// they go on contending after that. fail can wait until so many sections more
// have been passed.
func UnderLoad(t *testing.T, spec harness.Spec, fail func(passing func(sections int))) harness.Verdict {
	t.Helper()
	h := harness.New(t, spec)
	h.Tolerant = true
	h.Section = 2 * time.Millisecond
	workers := h.StartAll(4)
	for _, w := range workers {
		w.Run(2, 0)
	}
	passing := func(n int) { h.AwaitCount(harness.Released, h.Count(harness.Released)+n) }
	passing(50)
	fail(passing)
	for _, w := range workers {
		for mark, n := w.Mark(), 0; n < 5; n++ {
			w.Await(mark, "being served", func(e harness.Event) bool { return e.Kind == harness.Released && e.Cause == harness.None })
			mark = w.Mark()
		}
		w.Finish()
	}
	for _, w := range workers {
		w.Finished()
	}
	v := h.Check()
	h.CheckNothingIsLeft()
	return v
}
