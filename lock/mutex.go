package lock

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/fifolock/fifolock/queue"
)

var (
	// ErrLost is returned by Unlock, and is the cause of the ctx of Do, when
	// the hold had ended before: the lease could not be renewed in time, or the
	// ticket is gone from the queue. Somebody else may have held the lock since.
	// What was done under it must be checked or repeated.
	ErrLost = errors.New("the lock was lost before it was unlocked")

	// ErrNotLocked is returned by Unlock of a Mutex that is not locked. It is
	// an error in the program.
	ErrNotLocked = errors.New("the lock is not held: every Unlock needs one Lock or TryLock that succeeded")

	errCopied = errors.New("the Mutex was copied after New: share the pointer that New returned")
	errNoNew  = errors.New("the Mutex was not made by New: use the pointer that New returns")
	errNil    = errors.New("New was given a nil queue")
	errNilCtx = errors.New("the ctx is nil: give the caller's, or context.Background()")
)

// Mutex is a fair mutual exclusion lock on a [queue.TicketQueue].
//
// It is made by [New], shared by any number of goroutines, and must not be
// copied. Every goroutine that waits has its own ticket, so that the goroutines
// of one process stand in line like everybody else. As with [sync.Mutex], one
// goroutine may lock it and another unlock it, and it is not reentrant.
//
// It is not a [sync.Locker], because Lock takes a ctx and both can fail; see
// [Mutex.Locker].
//
// When a hold is lost, another goroutine of this Mutex gets the lock only after
// the one that lost it has called Unlock. Other Mutex values do not wait for it.
type Mutex struct {
	_ noCopy

	queue   queue.TicketQueue
	name    string // of the queue, for errors
	options options
	self    *Mutex // differs from the receiver in a copy
	err     error  // what was wrong with New's arguments

	// mu is the plain mutex beside the one in storage: the storage gives no
	// happens-before edge. It never waits for a holder.
	mu   sync.Mutex
	hold *hold // nil while this Mutex is not locked; guarded by mu
}

// hold is one time of owning the lock. A hold that was lost stays until Unlock.
type hold struct {
	heartbeat *heartbeat
	acquired  time.Time
	ended     chan struct{} // closed by Unlock
}

// noCopy makes go vet complain of a copied Mutex. vet knows a lock by a Lock
// method without arguments, which Mutex does not have.
type noCopy struct{}

func (noCopy) Lock()   {}
func (noCopy) Unlock() {}

// New makes a Mutex of q. It does no I/O. What is wrong with the arguments is
// returned by the first call.
func New(q queue.TicketQueue, opts ...Option) *Mutex {
	m := &Mutex{queue: q, name: nameOf(q)}
	m.self = m
	m.options, m.err = newOptions(opts)
	if isNil(q) {
		m.err = errNil
	}
	return m
}

// nameOf says which lock it is, in the words of the queue.
func nameOf(q queue.TicketQueue) string {
	if isNil(q) {
		return "nil queue"
	}
	if s, ok := q.(fmt.Stringer); ok {
		return s.String()
	}
	return fmt.Sprintf("%T", q)
}

func isNil(q queue.TicketQueue) bool {
	if q == nil {
		return true
	}
	v := reflect.ValueOf(q)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

// Lock waits until it is this call's turn and returns nil when the caller owns
// the lock.
//
// It returns an error, and the caller owns nothing, when ctx ends (also when it
// has ended before and the lock is free), when the arguments of New make no
// sense, and when the queue fails in a way that waiting does not mend. A ticket
// that is evicted while it waits, because this process was stopped for longer
// than its lease or the queue's storage was lost, is replaced by a new one at
// the end of the line.
func (m *Mutex) Lock(ctx context.Context) error {
	began := time.Now()
	err := m.lock(ctx, began)
	return m.wrap("lock", err, ctx, began)
}

func (m *Mutex) lock(ctx context.Context, began time.Time) error {
	if err := m.usable(ctx); err != nil {
		return err
	}
	ctx = m.options.trace.observe(ctx)
	var again *pacer
	for {
		h, err := m.register(ctx)
		if err != nil {
			return err
		}
		err = m.await(ctx, h, began)
		if !errors.Is(err, queue.ErrNotQueued) {
			return err
		}
		// Evicted. A queue that evicts everybody at once must not be a busy loop.
		if again == nil {
			again = m.newPacer(h.ticket.Lease)
		}
		if err := sleep(ctx, again.next(noPlace)); err != nil {
			return err
		}
	}
}

// TryLock takes the lock if nobody holds it and nobody waits for it, and
// reports whether it did. It never stands in line before others and never
// waits for anybody, only for the backend to answer.
func (m *Mutex) TryLock(ctx context.Context) (bool, error) {
	began := time.Now()
	ok, err := m.tryLock(ctx, began)
	return ok, m.wrap("try to lock", err, ctx, began)
}

func (m *Mutex) tryLock(ctx context.Context, began time.Time) (bool, error) {
	if err := m.usable(ctx); err != nil {
		return false, err
	}
	m.mu.Lock()
	held := m.hold != nil
	m.mu.Unlock()
	if held {
		return false, nil
	}
	h, err := m.tryRegister(m.options.trace.observe(ctx))
	if h == nil || err != nil {
		return false, err
	}
	owned := false
	defer func() {
		if !owned {
			m.quit(h)
		}
	}()
	m.options.trace.registered(h.ticket)
	// A lost hold that was not unlocked yet, or a lease that ran out while this
	// process was stopped, makes it somebody else's turn.
	before, err := m.own(h, began)
	owned = before == nil && err == nil
	if errors.Is(err, queue.ErrNotQueued) {
		err = nil
	}
	return owned, err
}

// Unlock releases the lock and wakes the next in line. It needs no ctx: it
// works after the one given to Lock has ended, and gives up after the release
// timeout ([WithReleaseTimeout]).
//
// It returns nil when this call released the lock; [ErrLost] when the hold had
// ended before; [ErrNotLocked] when the Mutex is not locked; and the backend's
// error when it is not known whether the ticket was removed. In the last case
// the heartbeat has ended too, so that the ticket lapses after one lease. A
// release whose answer was lost is sent again; that the ticket is gone by then
// is taken for success: as far as is known, the lock was held until Unlock. In
// every case the Mutex is unlocked afterwards and can be locked again.
func (m *Mutex) Unlock() error {
	began := time.Now()
	err := m.unlock()
	return m.wrap("unlock", err, context.Background(), began)
}

func (m *Mutex) unlock() error {
	if m.self != m && m.self != nil {
		return errCopied // what looks like a hold is that of the original
	}
	h := m.end(nil)
	if h == nil {
		return ErrNotLocked
	}
	held := time.Since(h.acquired)
	err := m.release(h.heartbeat)
	// If the next in line is of this process, it is ready to run now, and waits
	// for this goroutine to block. Let it go first: it has the lock.
	runtime.Gosched()
	if err != nil {
		return err
	}
	m.options.trace.released(h.heartbeat.ticket, held)
	return nil
}

// end takes the hold from the Mutex, unless it is that of another ticket than
// the given one; nil means any. Of two Unlocks at once, one gets it.
func (m *Mutex) end(of *heartbeat) *hold {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.hold
	if h == nil || of != nil && of != h.heartbeat {
		return nil
	}
	m.hold = nil
	close(h.ended)
	return h
}

// Do calls f while it holds the lock. f's ctx ends when ctx does, when the lock
// is lost (then [context.Cause] of it is [ErrLost], wrapped), and when f
// returns. Do returns the error of Lock; or else what f and Unlock returned,
// joined. A panic of f goes through Do after the lock was released.
func (m *Mutex) Do(ctx context.Context, f func(context.Context) error) (err error) {
	if err := m.Lock(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Unlock()) }()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	lost := m.Lost()
	go func() {
		select {
		case <-lost:
			cancel(m.wrap("hold", ErrLost, context.Background(), time.Time{}))
		case <-ctx.Done():
		}
	}()
	return f(ctx)
}

// Token returns the fencing token of the current hold: a number above 0, less
// than 1<<53, and greater than that of every hold before it under the same
// name. It returns 0 when the Mutex is not locked. A hold that was lost keeps
// its token until Unlock.
func (m *Mutex) Token() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hold == nil {
		return 0
	}
	return m.hold.heartbeat.ticket.Number
}

// Lost returns a channel that is closed when the current hold is lost. Every
// hold has its own. It returns nil, which is never ready, when the Mutex is
// not locked.
func (m *Mutex) Lost() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hold == nil {
		return nil
	}
	return m.hold.heartbeat.lost
}

// usable reports what speaks against beginning at all.
func (m *Mutex) usable(ctx context.Context) error {
	switch {
	case m.self == nil:
		return errNoNew
	case m.self != m:
		return errCopied
	case m.err != nil:
		return m.err
	case ctx == nil:
		return errNilCtx
	}
	return ctx.Err()
}

// wrap names the operation and the lock in err, unless the queue has named itself
// already. An error that came because ctx ended says so, and how long the call
// had taken.
func (m *Mutex) wrap(operation string, err error, ctx context.Context, began time.Time) error {
	if err == nil {
		return nil
	}
	if ctx == nil {
		ctx = context.Background()
	}
	if ended := ctx.Err(); ended != nil {
		if !errors.Is(err, ended) {
			err = fmt.Errorf("%w: %w", ended, err)
		}
		if cause := context.Cause(ctx); !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", err, cause)
		}
		err = fmt.Errorf("%w (after %v)", err, time.Since(began).Round(time.Millisecond))
	}
	switch text := err.Error(); {
	case strings.HasPrefix(text, m.name+": "):
		return fmt.Errorf("lock: %s %w", operation, err)
	case strings.Contains(text, m.name):
		return fmt.Errorf("lock: %s: %w", operation, err)
	}
	return fmt.Errorf("lock: %s %s: %w", operation, m.name, err)
}
