package peer

import (
	"context"
	"sync/atomic"

	"github.com/fifolock/fifolock/benchmarks/internal/clock"
)

// Arrival notes when one call of Lock had made itself known to the lock. Who
// begins to call only after that has come later, without doubt.
//
// What that moment is: for fifolock, when Register has returned; for a lock
// that asks a server again and again, when the first answer has come; for one
// that waits inside the kernel or the server it cannot be seen, and At is 0.
type Arrival struct{ at atomic.Int64 }

type arrivalKey struct{}

// With returns a ctx for one call of Lock, whose arrival is noted in a.
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
