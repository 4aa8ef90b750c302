package peer

import (
	"context"
	"sync/atomic"

	"github.com/fifolock/fifolock/benchmarks/internal/clock"
)

// Arrival notes when one call of Lock had made itself known to the lock. A call that
// begins only after that has come later, without doubt.
//
// For fifolock, that moment is the return of Register. For a lock that polls, it is
// the first answer. For a lock that waits inside the kernel or the
// server it cannot be seen, and At is 0.
type Arrival struct{ at atomic.Int64 }

type arrivalKey struct{}

// With returns a ctx for one call of Lock. The arrival of that call is noted in a.
func (a *Arrival) With(ctx context.Context) context.Context {
	return context.WithValue(ctx, arrivalKey{}, a)
}

// At is the time of the arrival by package clock, or 0 if none was seen yet.
func (a *Arrival) At() int64 { return a.at.Load() }

// arrived notes that the call that ctx belongs to is known to the lock now.
// The first time counts.
func arrived(ctx context.Context) {
	if a, ok := ctx.Value(arrivalKey{}).(*Arrival); ok && a.at.Load() == 0 {
		a.at.CompareAndSwap(0, clock.Now())
	}
}
