package load

import (
	"context"
	"time"

	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

// Idle is what waiting alone costs.
type Idle struct {
	Waiters    int
	Time       time.Duration
	Operations int64
	ClientCPU  time.Duration
}

// MeasureIdle lets n goroutines wait for a lock that nobody unlocks: first for
// settle, so that those who poll less and less have come to that, then for
// measure. around is called before and after the time measured.
func MeasureIdle(ctx context.Context, lock *peer.Lock, n int, settle, measure time.Duration, around func() error) (Idle, error) {
	w, err := lineUp(ctx, lock, n)
	if err != nil {
		return Idle{}, err
	}
	defer w.disperse()
	time.Sleep(settle)
	if err := around(); err != nil {
		return Idle{}, err
	}
	began, operations, cpu := time.Now(), lock.Operations(), processorTime()
	time.Sleep(measure)
	i := Idle{Waiters: n, Time: time.Since(began), Operations: lock.Operations() - operations, ClientCPU: processorTime() - cpu}
	if err := around(); err != nil {
		return Idle{}, err
	}
	return i, w.err()
}

// PerWaiterAndSecond divides an amount.
func (i Idle) PerWaiterAndSecond(amount float64) float64 {
	return amount / float64(i.Waiters) / i.Time.Seconds()
}
