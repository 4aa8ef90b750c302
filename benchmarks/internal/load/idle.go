package load

import (
	"context"
	"fmt"
	"time"

	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

// Idle is what waiting alone costs.
type Idle struct {
	Waiters   int
	Time      time.Duration
	Requests  int64
	ClientCPU time.Duration
}

// MeasureIdle lets n goroutines wait for a lock that is not unlocked: first for
// settle, so that those that poll less and less have come to that, then for
// measure. around is called before and after the time measured.
func MeasureIdle(ctx context.Context, lock *peer.Lock, n int, settle, measure time.Duration, around func() error) (Idle, error) {
	w, err := lineUp(ctx, lock, n)
	if err != nil {
		return Idle{}, err
	}
	return measureIdle(lock, []*waiting{w}, n, settle, measure, around)
}

// MeasureIdleLocks does the same with so many locks, each of which is held and
// has one waiter.
func MeasureIdleLocks(ctx context.Context, lock *peer.Lock, locks int, settle, measure time.Duration, around func() error) (Idle, error) {
	var all []*waiting
	for i := range locks {
		another, err := lock.Another(fmt.Sprintf("idle-%d", i))
		var w *waiting
		if err == nil {
			w, err = lineUp(ctx, another, 1)
		}
		if err != nil {
			disperseAll(all)
			return Idle{}, err
		}
		all = append(all, w)
	}
	return measureIdle(lock, all, locks, settle, measure, around)
}

func measureIdle(lock *peer.Lock, all []*waiting, n int, settle, measure time.Duration, around func() error) (Idle, error) {
	defer disperseAll(all)
	time.Sleep(settle)
	if err := around(); err != nil {
		return Idle{}, err
	}
	began, requests, cpu := time.Now(), lock.Requests(), processorTime()
	time.Sleep(measure)
	i := Idle{Waiters: n, Time: time.Since(began), Requests: lock.Requests() - requests, ClientCPU: processorTime() - cpu}
	if err := around(); err != nil {
		return Idle{}, err
	}
	for _, w := range all {
		if err := w.err(); err != nil {
			return Idle{}, err
		}
	}
	return i, nil
}

// PerWaiterAndSecond divides an amount.
func (i Idle) PerWaiterAndSecond(amount float64) float64 {
	return amount / float64(i.Waiters) / i.Time.Seconds()
}
