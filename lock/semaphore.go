package lock

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/fifolock/fifolock/queue"
)

// Semaphore lets at most n hold at a time, in the order in which they came, on a
// [queue.TicketQueue] that is a [queue.Sharer].
//
// It is made by [NewSemaphore], shared by any number of goroutines, and must not be
// copied. Each Acquire gives a [Hold] of its own; there is nothing to reenter, and a goroutine
// that acquires twice has two of the n. The permit of a holder that dies goes to
// the next in line, as the lock of a Mutex does, whether it was the first to come
// or the last.
//
// Semaphores with different n on one queue work side by side, each of which admits
// by its own n: a ticket owns when fewer than n are before it, waiters included. So the
// limit can be changed while it is in use, process by process; docs/semaphore.md says what
// holds until all have the new one. A Mutex and a Semaphore on one queue refuse each
// other with an error that names both, n = 1 included, as long as a ticket of the other is
// in line.
//
// On files and on Redis the cost of every operation grows with n, as all that hold are
// looked at: docs/semaphore.md has figures, and what to do instead of an n above a hundred.
type Semaphore struct {
	base *base // nil in a Semaphore that was not made by NewSemaphore

	// fence is passed by every hold that begins or ends: the storage gives no
	// happens-before edge.
	fence sync.Mutex
}

// NewSemaphore makes a Semaphore that at most n hold. It does no I/O. A wrong argument is
// reported by the first call: an n below 1, or a queue that has no method Share.
func NewSemaphore(q queue.TicketQueue, n int, opts ...Option) *Semaphore {
	s := &Semaphore{base: newBase(q, opts)}
	switch {
	case s.base.err != nil:
	case n < 1:
		s.base.err = fmt.Errorf("NewSemaphore was given n = %d: at least 1 must be able to hold", n)
	default:
		s.base.queue, s.base.err = queue.Share(q, n)
	}
	return s
}

// Hold is one of the n permits of a [Semaphore], from Acquire to Release. Its
// methods may be called by any goroutine. Unlike the Unlock of a Mutex, Release
// can end no other hold than its own, however often it is called.
type Hold struct {
	semaphore *Semaphore
	claim     *claim
}

// Acquire waits until fewer than n earlier tickets are left, and returns a hold.
// Permits are granted in the order of the tickets. Calls that are granted a permit at the
// same moment may return in any order. It returns an error, and the caller holds nothing, as
// [Mutex.Lock] does.
func (s *Semaphore) Acquire(ctx context.Context) (hold *Hold, err error) {
	const op = "acquire"
	if err := s.usable(op); err != nil {
		return nil, err
	}
	a := &attempt{base: s.base}
	err = a.run(ctx, op, s.base.options.maxWait, func() error {
		c, err := a.acquire()
		if err == nil {
			hold = s.begin(a, c)
		}
		return err
	})
	return hold, err
}

// TryAcquire returns a hold if fewer than n hold or wait, and reports whether it
// did: the hold is nil if it did not. It never stands in line before others and waits
// for nothing but the backend to answer.
func (s *Semaphore) TryAcquire(ctx context.Context) (hold *Hold, ok bool, err error) {
	const op = "try to acquire"
	if err := s.usable(op); err != nil {
		return nil, false, err
	}
	a := &attempt{base: s.base}
	err = a.run(ctx, op, noMaxWait, func() error {
		c, err := a.tryAcquire()
		if c != nil {
			hold = s.begin(a, c)
		}
		return err
	})
	return hold, hold != nil, err
}

// begin makes a hold of c, which owns.
func (s *Semaphore) begin(a *attempt, c *claim) *Hold {
	s.pass()
	a.acquired(c, c.abandon)
	return &Hold{s, c}
}

// pass makes all that was done before an earlier pass happen before this one.
func (s *Semaphore) pass() {
	s.fence.Lock()
	defer s.fence.Unlock()
}

// Do calls f while it holds one of the n permits. f's ctx ends when ctx does, when the hold
// is lost or another call has released it (then [context.Cause] of it is [ErrLost], or
// [ErrNotLocked], wrapped), and when f returns. Do returns the error of Acquire; or else what
// f and Release returned, joined. f must not release the hold: Do returns [ErrNotLocked]
// then. A panic of f goes through Do after the permit was given back, which may take the
// release timeout ([WithReleaseTimeout]) also where ctx has ended.
func (s *Semaphore) Do(ctx context.Context, f func(context.Context, *Hold) error) (err error) {
	const op = "do"
	if err := s.usable(op); err != nil {
		return err
	}
	if f == nil {
		return s.base.fail(op, errNilFunction)
	}
	hold, err := s.Acquire(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hold.Release()) }()
	return hold.claim.do(ctx, func(ctx context.Context) error { return f(ctx, hold) })
}

func (s *Semaphore) usable(op string) error {
	if s.base == nil {
		return fmt.Errorf("%s: %w", op, errNoNewSemaphore)
	}
	return nil
}

// Token returns the number of the hold's ticket, which is above 0, less than 1<<53
// and greater than that of every hold of the same n that came before it. It says which
// hold it is. It does not fence unless n is 1: with more, a holder with a lower token may
// be as good as one with a higher, and a storage cannot tell it from one that was
// lost. It is 0 for a hold that is nil or zero.
func (h *Hold) Token() int64 {
	if h == nil || h.claim == nil {
		return 0
	}
	return h.claim.ticket.Number
}

// Lost returns a channel that is closed when the hold is lost, and nil for a hold that is
// nil or zero. Release does not close it: a goroutine that waits for it must wait for the
// end of the work as well.
func (h *Hold) Lost() <-chan struct{} {
	if h == nil || h.claim == nil {
		return nil
	}
	return h.claim.alive.lost
}

// Release gives the permit back and wakes the next in line. It needs no ctx, as
// [Mutex.Unlock] needs none.
//
// It returns nil when this call released the hold; [ErrLost] when the hold had
// ended before; [ErrNotLocked] when it was released before; and the backend's error
// when it is not known whether the ticket was removed (see [Mutex.Unlock]).
//
// A hold that is nil, as TryAcquire returns one that has none, is not held.
func (h *Hold) Release() error {
	if h == nil || h.claim == nil {
		return fmt.Errorf("release: %w", ErrNotLocked)
	}
	h.semaphore.pass()
	return h.claim.release("release")
}
