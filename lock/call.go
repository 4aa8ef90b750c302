package lock

import (
	"context"
	"sync/atomic"
	"time"
)

// leaveGrace is how long a call that failed waits for its ticket to be removed
// before it returns and leaves the removal to the background: a program that
// exits right after a cancelled Lock must not leave a ticket in line that its
// backend would have removed in a moment. It is well below the 100 ms within which
// a call must return when its ctx ends.
const leaveGrace = 40 * time.Millisecond

// call is one call into a queue, in a goroutine of its own. Every call into a queue
// that a caller waits for is one, unless its ctx can never end, because a backend does
// not always return when its ctx ends: a go-redis call waits for its read timeout, a
// system call on a dead network file system for ever.
//
// The answer goes to the caller, or to late, which is decided once: a ticket is
// never dropped between the two, and never handed to both.
type call[T any] struct {
	done  chan struct{} // closed when the answer is there, or late has returned
	value T             // read after done
	err   error         // read after done; errNoAnswer if f has ended its goroutine
	taken atomic.Bool   // set by the first of two: the answer that came, or the caller that left
}

// start begins the call f. late, unless it is nil, gets the answer that comes
// after the caller has left.
func start[T any](f func() (T, error), late func(T, error)) *call[T] {
	c := &call[T]{done: make(chan struct{}), err: errNoAnswer}
	go func() {
		defer close(c.done)
		growStack(0)
		value, err := f()
		if c.taken.CompareAndSwap(false, true) {
			c.value, c.err = value, err
		} else if late != nil {
			late(value, err)
		}
	}()
	return c
}

// background begins a call that has no answer.
func background(f func()) *call[struct{}] {
	return start(func() (struct{}, error) { f(); return struct{}{}, nil }, nil)
}

// settle waits for the call to end, but no longer than grace.
func (c *call[T]) settle(grace time.Duration) {
	if grace <= 0 {
		return
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
	}
}

// ask calls f and returns its answer, or ctx's error as soon as ctx ends. In that
// case f goes on for as long as it likes, and late gets its answer, for which ask
// waits no longer than grace.
func ask[T any](ctx context.Context, grace time.Duration, f func(context.Context) (T, error), late func(T, error)) (T, error) {
	if ctx.Done() == nil {
		return f(ctx)
	}
	c := start(func() (T, error) { return f(ctx) }, late)
	select {
	case <-c.done:
	case <-ctx.Done():
		if c.taken.CompareAndSwap(false, true) {
			c.settle(grace) // for late to return
			var none T
			return none, ctx.Err()
		}
		<-c.done // the answer was there before
	}
	return c.value, c.err
}

// endOf is ctx.Err() after a call with that ctx: a connection may see the deadline a moment
// before the ctx does, which is waited for.
func endOf(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		timer := time.NewTimer(leaveGrace)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
			return context.DeadlineExceeded
		}
	}
	return ctx.Err()
}

// stackOfCall is about what the stack of a call into a queue comes to.
const stackOfCall = 6 << 10

// growStack makes the stack of a new goroutine as large as a call needs at once, while
// there is next to nothing on it. Otherwise it is copied two or three times on the way
// down, with all that is on it by then, which was a tenth of what a lock costs the client.
// CockroachDB does the same (its package growstack).
//
//go:noinline
func growStack(i int) byte {
	var room [stackOfCall]byte
	room[i] = 1
	return room[stackOfCall-1-i]
}
