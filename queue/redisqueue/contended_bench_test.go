package redisqueue_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// own waits until a ticket owns: it listens, looks when it is told to, and relies on
// being woken.
func own(ctx context.Context, q *redisqueue.Queue, t queue.Ticket) (stop func(), err error) {
	if t.Ahead == 0 {
		return func() {}, nil
	}
	wake, stop, err := q.Watch(ctx, t)
	if err != nil {
		return stop, err
	}
	for {
		w := queue.WakeHint
		select {
		case w = <-wake:
		case <-time.After(100 * time.Millisecond):
		}
		if w == queue.WakeOwner {
			return stop, nil
		}
		if place, err := q.Position(ctx, t); err != nil || place.Ahead == 0 {
			return stop, err
		}
	}
}

// BenchmarkContended measures goroutines of one process that want one lock: how many
// acquisitions a second, and how long from one owner's giving it up to the next one's
// having it.
func BenchmarkContended(b *testing.B) {
	for _, goroutines := range []int{2, 16, 64} {
		for _, held := range []time.Duration{0, 5 * time.Millisecond} {
			b.Run(fmt.Sprintf("goroutines=%d/held=%v", goroutines, held), func(b *testing.B) {
				redistest.NeedReal(b)
				ctx := b.Context()
				q := redisqueue.New(redistest.Client(b), redistest.Name(b))
				var wg sync.WaitGroup
				var given time.Time // guarded by the lock
				var gaps []time.Duration
				left := b.N
				b.ResetTimer()
				for range goroutines {
					wg.Go(func() {
						for more := true; more; {
							t, err := q.Register(ctx)
							if err != nil {
								b.Error(err)
								return
							}
							stop, err := own(ctx, q, t)
							if err != nil {
								b.Error(err)
								return
							}
							if !given.IsZero() {
								gaps = append(gaps, time.Since(given))
							}
							if held > 0 {
								time.Sleep(held)
							}
							left--
							more = left > 0
							given = time.Now()
							if err := q.Release(ctx, t); err != nil {
								b.Error(err)
							}
							stop()
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(len(gaps))/b.Elapsed().Seconds(), "acquisitions/s")
				b.ReportMetric(float64(median(gaps).Microseconds()), "µs/hand-off-p50")
			})
		}
	}
}
