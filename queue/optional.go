package queue

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// TryRegisterer is a queue that can join an empty line in one step.
type TryRegisterer interface {
	TicketQueue

	// TryRegister takes a ticket if none is in line, and reports whether it
	// did. Members whose owners are gone do not count; they are removed. If it
	// returns false or an error, no ticket was left in line, as for Register.
	TryRegister(ctx context.Context) (t Ticket, ok bool, err error)
}

// TryRegister takes a ticket that is the head at once, or none, and reports
// whether it did.
//
// Without [TryRegisterer] it looks first, then registers, and steps back if
// another ticket was taken first; two calls at once may both fail, and one taken meanwhile
// stands behind it until it has.
func TryRegister(ctx context.Context, q TicketQueue) (t Ticket, ok bool, err error) {
	if q, ok := q.(TryRegisterer); ok {
		return q.TryRegister(ctx)
	}
	if err := q.CleanupStale(ctx); err != nil {
		return Ticket{}, false, err
	}
	if empty, err := q.IsEmpty(ctx); err != nil || !empty {
		return Ticket{}, false, err
	}
	t, err = q.Register(ctx)
	if err != nil {
		return Ticket{}, false, err
	}
	head := t.Ahead == 0
	if !head {
		if head, err = q.IsHead(ctx, t); errors.Is(err, ErrNotQueued) {
			return Ticket{}, false, nil
		}
	}
	if head && err == nil {
		return t, true, nil
	}
	// The ctx may have ended IsHead; the ticket must go all the same.
	if rerr := Release(context.WithoutCancel(ctx), q, t); rerr != nil && !errors.Is(rerr, ErrNotQueued) {
		err = errors.Join(err, rerr)
	}
	return Ticket{}, false, err
}

// Releaser is a queue that can do Remove and MaybeCleanup in one step.
type Releaser interface {
	TicketQueue

	// Release takes t out of the line, as Remove does, removes the dead in front as
	// CleanupStale does, tells the next in line, and then cleans up as MaybeCleanup does.
	// It returns ErrNotQueued when t was not in line.
	Release(ctx context.Context, t Ticket) error
}

// Release takes t out of the line and cleans up after it. Without [Releaser]
// it calls Remove, then MaybeCleanup, also after an error.
func Release(ctx context.Context, q TicketQueue, t Ticket) error {
	if q, ok := q.(Releaser); ok {
		return q.Release(ctx, t)
	}
	err := q.Remove(ctx, t)
	q.MaybeCleanup(ctx)
	return err
}

// Refresher is a queue whose tickets can be shown to be alive. A queue that gives
// tickets with a lease is one.
type Refresher interface {
	TicketQueue

	// Refresh shows that t's owner is alive: a ticket with a lease is believed for
	// that lease again, counted from when Refresh was called. The length is the
	// ticket's own, through any queue value. It returns ErrNotQueued when t is not
	// in line any more, and never puts it back. Any other error leaves open
	// whether the queue has heard of it.
	//
	// For a ticket without a lease it only tells whether it is still in line.
	Refresh(ctx context.Context, t Ticket) error
}

// Refresh shows that t's owner is alive. Without [Refresher] it asks IsHead
// whether the ticket is still in line; for a ticket with a lease, which that does
// not renew, it returns an error for which errors.Is(err, errors.ErrUnsupported)
// holds.
func Refresh(ctx context.Context, q TicketQueue, t Ticket) error {
	if q, ok := q.(Refresher); ok {
		return q.Refresh(ctx, t)
	}
	if t.Lease > 0 {
		return fmt.Errorf("%T has no method Refresh, but its tickets have a lease: pass the method on: %w", q, errors.ErrUnsupported)
	}
	_, err := q.IsHead(ctx, t)
	return err
}

// Wake is a message of a [Watcher] to a waiter.
type Wake int

const (
	// WakeHint is a hint: the line may have moved. It proves nothing.
	WakeHint Wake = iota

	// WakeOwner says that the ticket owns. It comes from the step that made it so,
	// and is for this one entry of the line. It holds for as long as the ticket
	// itself does: a waiter whose lease has run out meanwhile must look all the
	// same.
	WakeOwner
)

// Watcher is a queue that can tell a waiter when to look.
//
// A wake-up saves waiting for the next poll; it replaces none. It may be
// spurious, late or lost.
type Watcher interface {
	TicketQueue

	// Watch begins to listen for t. It does not wait for the storage to answer: package
	// lock looks at nothing else meanwhile. The order is: listen, then look, then
	// wait. A Watch that may have missed something since t was taken says so
	// by a WakeHint that is in wake when Watch returns; without one, the caller
	// need not look first. A ticket has one watch at a time.
	//
	// wake is never closed and holds the latest that its reader has not seen;
	// a WakeOwner is not displaced by a WakeHint. ctx is for Watch alone. stop ends
	// the listening and releases its resources; it may be called more than once,
	// and must be called also when the ticket is gone.
	//
	// A WakeOwner that was given before the storage had confirmed it may turn out
	// to have been wrong, after a loss of data. Then a WakeHint follows it: the
	// owner looks again at once, and has lost the ticket unless the look says that
	// it owns. So an owner that was told by WakeOwner goes on listening until it
	// releases the ticket.
	//
	// An error means that there is nothing to listen to; wake is nil then and
	// stop may be called.
	Watch(ctx context.Context, t Ticket) (wake <-chan Wake, stop func(), err error)
}

// Watch begins to listen for t. Without [Watcher], wake is nil and never
// ready, and the caller polls.
func Watch(ctx context.Context, q TicketQueue, t Ticket) (wake <-chan Wake, stop func(), err error) {
	if q, ok := q.(Watcher); ok {
		return q.Watch(ctx, t)
	}
	return nil, func() {}, nil
}

// Place is where a ticket stands.
type Place struct {
	// Ahead is how many members must leave before the ticket owns; 0 means that
	// it owns. A number above 0 may be too high by members that have left through
	// another process, or whose owners are dead, but never turns an owner into a
	// waiter or a waiter into an owner.
	Ahead int

	// Recheck is how long a waiter that listens (see [Watcher]) may rely on being
	// woken: until then nothing can happen that it would not be told of, but for a
	// wake-up that is lost on the way. 0 means that it cannot rely on it now, and
	// polls.
	Recheck time.Duration
}

// Positioner is a queue that knows how many tickets are in front of another.
type Positioner interface {
	TicketQueue

	// Position removes the heads whose owners are dead, as CleanupStale does, and
	// says where t stands. It returns ErrNotQueued when t is not in line.
	Position(ctx context.Context, t Ticket) (Place, error)
}

// Position removes the heads whose owners are dead and says where t stands.
//
// Without [Positioner] it calls CleanupStale and IsHead, and a ticket that is not
// the head has 1 before it.
func Position(ctx context.Context, q TicketQueue, t Ticket) (Place, error) {
	if q, ok := q.(Positioner); ok {
		return q.Position(ctx, t)
	}
	if err := q.CleanupStale(ctx); err != nil {
		return Place{}, err
	}
	head, err := q.IsHead(ctx, t)
	if err != nil || head {
		return Place{}, err
	}
	return Place{Ahead: 1}, nil
}

// Sharer is a queue that can be owned by more than one ticket at a time.
type Sharer interface {
	TicketQueue

	// Share returns a view of the same line in which the first n own; n is at least
	// 1. "Head" in it means: among the first n. Ahead and Position say how many must
	// leave before a ticket owns, the dead are removed among the first n, one step
	// may wake several, and TryRegister takes a ticket if fewer than n are in line.
	//
	// A ticket owns when fewer than n are before it, and those before it only ever
	// become fewer. So views with different n may be used side by side, each of
	// which admits by its own n: that is how a limit is changed while it is in use.
	// Ask a view only about tickets that a view of the same n has taken.
	//
	// A line has a kind, which is stored with its tickets: exclusive, or shared. To
	// join a line of the other kind is an error that names both. The view of
	// Share(1) is of the kind shared, and admits as the queue itself does.
	//
	// While they differ, the order is that of arrival only among the tickets of one n:
	// one with a larger n may own before an earlier one with a smaller.
	//
	// The view implements the same optional interfaces as the queue, but Sharer. A
	// wrapper of the queue must wrap the view too: one that embeds a queue of this
	// module has its Share, whose view knows nothing of the wrapper. A view that hides
	// TryRegister takes a ticket by [TryRegister] only if the line is empty.
	// Share does no I/O; an n below 1 is reported by the first call on the view. A wrapper
	// of a queue that has no Share returns nil.
	Share(n int) TicketQueue
}

// Share returns a view of q's line in which the first n own. Without [Sharer] it
// returns an error for which errors.Is(err, errors.ErrUnsupported) holds.
func Share(q TicketQueue, n int) (TicketQueue, error) {
	if q, ok := q.(Sharer); ok {
		if view := q.Share(n); view != nil {
			return view, nil
		}
	}
	return nil, fmt.Errorf("%T has no method Share, so that only one can own it at a time: pass the method on, or give the queue itself in the place of a view: %w", q, errors.ErrUnsupported)
}

// Lister is a queue that can list its tickets.
type Lister interface {
	TicketQueue

	// Members lists the tickets in line, the head first, and removes none.
	Members(ctx context.Context) ([]Member, error)
}

// Members lists the tickets in line, the head first. Without [Lister] it
// returns an error for which errors.Is(err, errors.ErrUnsupported) holds.
func Members(ctx context.Context, q TicketQueue) ([]Member, error) {
	if l, ok := q.(Lister); ok {
		return l.Members(ctx)
	}
	return nil, fmt.Errorf("list the members of %T, which has no method Members: pass the method on: %w", q, errors.ErrUnsupported)
}

// Member is a ticket in line, as [Members] shows it to people. Only Ticket
// is a fact; the owner said the rest, or the storage noted it.
type Member struct {
	// Ticket is the place in line; its Ahead is the place in this listing.
	Ticket Ticket

	// Owners is how many may own at a time by the terms of this ticket: the n of
	// [Sharer]'s Share; 0 if it was taken without Share, and owns alone. The tickets
	// of one line may have different ones.
	Owners int

	// Host and PID say where the owner runs, as far as it told: PID is a number
	// of the owner's own pid namespace. Empty and 0 if unknown.
	Host string
	PID  int

	// Since is when the ticket was taken, by the clock of the Redis server or, on files, as
	// its number says, which may be ahead of the clock.
	Since time.Time

	// LastSeen is when the owner last showed that it is alive, by the same
	// clock; zero if the queue keeps no such time.
	LastSeen time.Time

	// Label is the text that the owner has given with its queue's option WithLabel.
	Label string

	// CrashDetection is how long after its process has ended the ticket is evicted,
	// where that is noticed before its lease ends; 0 where it is not. Unseen says that its
	// owner has asked for it, and that it does not work: for a moment after the ticket was
	// taken or the server has changed; for longer if a right is missing (see
	// redisqueue.WithCrashDetection). Gone is when the process was noticed to be gone, by
	// the storage's clock; zero if it was not.
	CrashDetection time.Duration
	Unseen         bool
	Gone           time.Time

	// Dead says that the owner was found gone: the ticket is evicted when it comes to the
	// front. False may mean that it could not be told, such as in a directory whose
	// files this process may not open.
	Dead bool
}

// Owns reports whether the ticket was believed to own when it was listed: its owner was
// alive, and fewer than Owners were before it.
func (m Member) Owns() bool { return !m.Dead && m.Ticket.Ahead < max(1, m.Owners) }
