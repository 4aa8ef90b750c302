package lock

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/fifolock/fifolock/queue"
)

// Mutex is a fair mutual exclusion lock on a [queue.TicketQueue].
//
// It is made by [New], shared by any number of goroutines, and must not be copied.
// Every goroutine that waits has its own ticket, so that the goroutines of one
// process stand in line like those of any other. As with [sync.Mutex], one goroutine
// may lock it and another unlock it, and it is not reentrant.
//
// It is not a [sync.Locker], because Lock takes a ctx and both can fail; see
// [Mutex.Locker].
//
// When a hold is lost, another goroutine of this Mutex gets the lock only after the
// one that lost it has called Unlock. If its turn comes before, it leaves the line, so
// that other Mutex values do not wait for that, and takes a new ticket after it.
type Mutex struct {
	base *base  // nil in a Mutex that was not made by New
	self *Mutex // differs from the receiver in a copy

	// mu is the plain mutex beside the one in storage: the storage gives no
	// happens-before edge. It never waits for a holder.
	mu   sync.Mutex
	hold *claim // nil while this Mutex is not locked; a lost one stays until Unlock; guarded by mu
}

// New makes a Mutex of q. It does no I/O. A wrong argument is reported by the first call.
// q must not be a view that [queue.Sharer]'s Share returns: with more than one permit several
// Mutex values would hold at once; use [NewSemaphore].
func New(q queue.TicketQueue, opts ...Option) *Mutex {
	m := &Mutex{base: newBase(q, opts)}
	m.self = m
	return m
}

// Lock waits until it is this call's turn and returns nil when the caller owns
// the lock.
//
// It returns an error, and the caller owns nothing: when ctx ends, also before the call;
// when [WithMaxWait] is over; when an argument of New is wrong; when the queue fails
// before there is a ticket, fails a ticket without a lease, or was closed; when it
// has failed for a whole lease; and when the leases of three tickets in a row were over
// before it had answered a heartbeat. The error of a wait that ended says how many were ahead
// and, as a rule, if the queue can list them, which of them holds the lock (of many calls
// that end at once, some do not look); it is [ErrBusy] then.
//
// A ticket that is evicted while it waits, because this process was stopped for longer
// than its lease or the queue's storage was lost, is replaced by a new one at the end of
// the line. If taking it fails, the call tries again for a lease.
//
// A queue whose tickets have a lease and that has no method Refresh is an error: it
// was hidden by a wrapper, which must pass it on.
func (m *Mutex) Lock(ctx context.Context) error {
	_, err := m.lock(ctx)
	return err
}

func (m *Mutex) lock(ctx context.Context) (hold *claim, err error) {
	if err := m.usable("lock"); err != nil {
		return nil, err
	}
	a := &attempt{base: m.base, report: report{mine: m.isHeld}}
	err = a.run(ctx, "lock", m.base.options.maxWait, func() error {
		hold, err = m.takeTurn(a)
		return err
	})
	return hold, err
}

// takeTurn waits for a turn, and for one in which this Mutex has no other hold.
//
// Only a hold that was lost can still be there when another ticket owns. Its
// holder may be anywhere in its critical section, so its Unlock is waited for: out
// of the line, so that no other Mutex waits for it too.
func (m *Mutex) takeTurn(a *attempt) (*claim, error) {
	for {
		c, err := a.acquire()
		if err != nil {
			return nil, err
		}
		before := m.adopt(c)
		if before == nil {
			a.acquired(c, func() { m.abandon(c) })
			return c, nil
		}
		c.abandon()
		before.alive.hurry()
		a.replaced(errHeldBack)
		if err := a.holdBack(before); err != nil {
			return nil, err
		}
	}
}

// adopt makes c, which owns, the hold of this Mutex. If there is a hold already,
// it returns that one.
func (m *Mutex) adopt(c *claim) (before *claim) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hold == nil {
		m.hold = c
		return nil
	}
	return m.hold
}

// abandon gives up c, whose hooks have panicked: nothing is left that would
// unlock it.
func (m *Mutex) abandon(c *claim) {
	m.end(c)
	c.abandon()
}

// TryLock takes the lock if it is not held and not waited for, and reports whether
// it did. It never stands in line before others and waits for nothing but the
// backend to answer.
func (m *Mutex) TryLock(ctx context.Context) (locked bool, err error) {
	const op = "try to lock"
	if err := m.usable(op); err != nil {
		return false, err
	}
	a := &attempt{base: m.base}
	err = a.run(ctx, op, noMaxWait, func() error {
		locked, err = m.tryTurn(a)
		return err
	})
	return locked, err
}

func (m *Mutex) tryTurn(a *attempt) (locked bool, err error) {
	if m.Token() != 0 {
		return false, nil
	}
	c, err := a.tryAcquire()
	if c == nil {
		return false, err
	}
	if m.adopt(c) != nil {
		c.abandon()
		a.replaced(errHeldBack)
		return false, nil
	}
	a.acquired(c, func() { m.abandon(c) })
	return true, nil
}

// Unlock releases the lock and wakes the next in line. It needs no ctx: it
// works after the one given to Lock has ended, and gives up after the release
// timeout ([WithReleaseTimeout]).
//
// It returns nil when this call released the lock; [ErrLost] when the hold had
// ended before; [ErrNotLocked] when the Mutex is not locked; and the backend's
// error when it is not known whether the ticket was removed. In the last case
// the heartbeat has ended too, so that the ticket lapses after one lease; on files, which
// have none, as soon as the file system lets its file be closed. A release
// whose answer was lost is sent again. If the ticket is gone by then, Unlock returns nil:
// as far as is known, the lock was held until Unlock. In every case the Mutex is unlocked
// afterwards and can be locked again; a copy of it is refused, and unlocks nothing.
//
// A second Unlock ends whatever hold it finds, which may be that of another
// goroutine by then, as with [sync.Mutex]. It is an error only if there is none.
func (m *Mutex) Unlock() error { return m.unlock(nil) }

// unlock releases the given hold, or with nil the current one.
func (m *Mutex) unlock(of *claim) error {
	const op = "unlock"
	if err := m.usable(op); err != nil {
		return err // what looks like a hold in a copy is that of the original
	}
	hold := m.end(of)
	if hold == nil {
		return m.base.fail(op, ErrNotLocked)
	}
	err := hold.release(op)
	// If the next in line is of this process, it is ready to run now, and waits
	// for this goroutine to block. Let it go first: it has the lock.
	runtime.Gosched()
	return err
}

// end takes the hold from the Mutex, unless it is another one than the given; nil
// means any. Of two Unlocks at once, one gets it.
func (m *Mutex) end(of *claim) *claim {
	m.mu.Lock()
	defer m.mu.Unlock()
	hold := m.hold
	if of != nil && of != hold {
		return nil
	}
	m.hold = nil
	return hold
}

// Do calls f while it holds the lock. f's ctx ends when ctx does, when the lock is lost or
// another call has unlocked it (then [context.Cause] of it is [ErrLost], or [ErrNotLocked],
// wrapped), and when f returns. Do returns the error of Lock; or else what f and Unlock
// returned, joined. A panic of f goes through Do after the lock was released, which may take
// the release timeout ([WithReleaseTimeout]) also where ctx has ended. Do releases its own
// hold and no other: if f has unlocked the Mutex, Do returns [ErrNotLocked].
func (m *Mutex) Do(ctx context.Context, f func(context.Context) error) (err error) {
	const op = "do"
	if err := m.usable(op); err != nil {
		return err
	}
	if f == nil {
		return m.base.fail(op, errNilFunction)
	}
	hold, err := m.lock(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.unlock(hold)) }()
	return hold.do(ctx, f)
}

// Token returns the fencing token of the current hold: a number above 0, less
// than 1<<53, and greater than that of every hold before it under the same
// name (the package comment has the exception). It returns 0 when the Mutex is not locked. A hold that was lost keeps
// its token until Unlock.
func (m *Mutex) Token() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hold == nil {
		return 0
	}
	return m.hold.ticket.Number
}

// isHeld reports whether this Mutex has a hold that is not lost.
func (m *Mutex) isHeld() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hold != nil && m.hold.alive.whyLost() == nil
}

// Lost returns a channel that is closed when the current hold is lost. Every
// hold has its own. Unlock does not close it: a goroutine that waits for it must wait for
// the end of the work as well. It returns nil, which is never ready, when the Mutex is
// not locked.
func (m *Mutex) Lost() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hold == nil {
		return nil
	}
	return m.hold.alive.lost
}

// usable reports a Mutex that New has not made.
func (m *Mutex) usable(op string) error {
	switch {
	case m.base == nil:
		return fmt.Errorf("%s: %w", op, errNoNew)
	case m.self != m:
		return m.base.fail(op, errCopied)
	}
	return nil
}

// Locker returns a [sync.Locker] of m, for code that needs one, such as
// [sync.Cond]. Its Lock waits without limit, unless
// [WithMaxWait] sets one. Both methods panic with the error
// that Lock or Unlock of m returned, ErrLost included: there is no caller to
// return it to, and going on as if nothing had happened would be worse.
func (m *Mutex) Locker() sync.Locker { return locker{m} }

type locker struct{ mutex *Mutex }

func (l locker) Lock() {
	if err := l.mutex.Lock(context.Background()); err != nil {
		panic(err)
	}
}

func (l locker) Unlock() {
	if err := l.mutex.Unlock(); err != nil {
		panic(err)
	}
}
