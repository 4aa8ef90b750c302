package lock

import (
	"context"
	"time"
)

// leaveGrace is how long a call that failed waits for its ticket to be removed
// before it returns and leaves the removal to the background: a program that
// exits right after a cancelled Lock must not leave a ticket in line that its
// backend would have removed in a moment. A call may have to wait for it twice
// (for the end of its watch, and for that of its ticket), which is well below the
// 100 ms within which it must return when its ctx ends.
const leaveGrace = 40 * time.Millisecond

// detached runs f in a goroutine of its own and returns what it returned, or
// ctx's error as soon as ctx ends. In that case f goes on for as long as it
// likes, and late, unless it is nil, is called with what it returned in the
// end; that is waited for, but no longer than leaveGrace.
//
// It is there because a backend does not always return when its ctx ends: a
// go-redis call waits for its read timeout, a system call on a dead network
// file system for ever.
//
// Whether the caller or late gets the result is decided once, by which of the
// two receives from an unbuffered channel: a ticket is never dropped between
// them, and never handed to both.
func detached[T any](ctx context.Context, f func(context.Context) (T, error), late func(T, error)) (T, error) {
	if ctx.Done() == nil {
		return f(ctx)
	}
	type result struct {
		value T
		err   error
	}
	results := make(chan result)
	gone := make(chan struct{}) // nobody receives results any more
	settled := make(chan struct{})
	go func() {
		v, err := f(ctx)
		select {
		case results <- result{v, err}:
		case <-gone:
			if late != nil {
				late(v, err)
			}
			close(settled)
		}
	}()
	select {
	case r := <-results:
		return r.value, r.err
	case <-ctx.Done():
		close(gone)
		if late != nil {
			grace := time.NewTimer(leaveGrace)
			defer grace.Stop()
			select {
			case <-settled:
			case <-grace.C:
			}
		}
		var zero T
		return zero, ctx.Err()
	}
}
