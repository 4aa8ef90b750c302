package lock

import (
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Option changes how a [Mutex] or a [Semaphore] behaves. A wrong one is reported by the
// first call.
type Option func(*options) error

type options struct {
	newBackOff     func() backoff.BackOff // nil: the default, which knows the place in line
	releaseTimeout time.Duration
	maxWait        time.Duration // 0: only the ctx ends a wait
	trace          Trace         // all that were given, as one
}

// defaultReleaseTimeout is longer than a go-redis read timeout (5 s) and the
// retry after it, so that one lost reply does not make an Unlock fail.
const defaultReleaseTimeout = 10 * time.Second

// WithBackOff gives the time between two polls of a waiter: newBackOff is called
// once for each wait, and what it returns is used by one goroutine. A call whose ticket
// was evicted pauses as one more of its own says, before it takes another. It is Reset
// whenever the line has moved. When it returns [backoff.Stop] it is Reset too: it ends no
// wait.
//
// Without it a waiter that nothing wakes polls at once, then after 1 ms, then after twice
// as long each time, up to 25 ms for each place in line and to about 1 s. A waiter that the
// queue can be relied upon to wake polls only for a wake-up that was lost: the first in
// line once a second and when the owner may have died, the others every second for each
// place, up to a minute; with a lease, up to 5 s or a third of it; with crash detection,
// each every quarter of its time, or every 400 ms, but no more often than every 25 ms for
// each place. With it, polls come as it says, whatever the place in line, but for the first
// one where nothing wakes the waiter, which comes at once; a time below 1 ms is taken for
// 1 ms. If newBackOff returns nil, that wait is as without it.
func WithBackOff(newBackOff func() backoff.BackOff) Option {
	return func(o *options) error {
		if newBackOff == nil {
			return errors.New("WithBackOff was given nil: give a function that makes a backoff, or leave it out")
		}
		o.newBackOff = newBackOff
		return nil
	}
}

// WithReleaseTimeout says how long Unlock tries to release the lock before it
// returns an error, and how long a call that was cancelled goes on in the
// background to remove its ticket; a queue may go on for longer. 10 s unless given.
func WithReleaseTimeout(d time.Duration) Option {
	return func(o *options) error {
		if d <= 0 {
			return fmt.Errorf("WithReleaseTimeout was given %v: give a time above 0", d)
		}
		o.releaseTimeout = d
		return nil
	}
}

// WithMaxWait limits the wait of Lock, Acquire and Do to d, counted from the call. What
// they return then satisfies errors.Is(err, context.DeadlineExceeded),
// and errors.Is(err, ErrBusy) if others were ahead. It bounds the wait only: the
// ctx that Do gives to its function does not end with it. TryLock and TryAcquire do
// not wait in line, and end with their ctx.
func WithMaxWait(d time.Duration) Option {
	return func(o *options) error {
		if d <= 0 {
			return fmt.Errorf("WithMaxWait was given %v: give a time above 0, or leave it out", d)
		}
		o.maxWait = d
		return nil
	}
}

// WithTrace calls the hooks of t. It may be given more than once: the hooks
// of each are called, in the order in which they were given. nil is the same as no
// hooks.
func WithTrace(t *Trace) Option {
	return func(o *options) error {
		if t != nil {
			o.trace.add(*t)
		}
		return nil
	}
}
