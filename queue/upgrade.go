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

	// TryRegister takes a ticket if nobody is in line, and reports whether it
	// did. Members whose owners are gone do not count; they are removed. If it
	// returns false or an error, no ticket was left in line, as for Register.
	TryRegister(ctx context.Context) (t Ticket, ok bool, err error)
}

// TryRegister takes a ticket that is the head at once, or none, and reports
// whether it did.
//
// Without [TryRegisterer] it looks first, then registers and steps back if
// somebody was faster, so that two at once may both fail.
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
	// The ctx may be what ended IsHead; the ticket must go all the same.
	if rerr := Release(context.WithoutCancel(ctx), q, t); rerr != nil && !errors.Is(rerr, ErrNotQueued) {
		err = errors.Join(err, rerr)
	}
	return Ticket{}, false, err
}

// Releaser is a queue that can do Remove and MaybeCleanup in one step.
type Releaser interface {
	TicketQueue

	// Release takes t out of the line, as Remove does, tells the next in line,
	// and then removes what MaybeCleanup would. It returns ErrNotQueued when t
	// was not in line.
	Release(ctx context.Context, t Ticket) error
}

// Release takes t out of the line and cleans up after it. Without [Releaser]
// it calls Remove, then MaybeCleanup whatever Remove returned.
func Release(ctx context.Context, q TicketQueue, t Ticket) error {
	if q, ok := q.(Releaser); ok {
		return q.Release(ctx, t)
	}
	err := q.Remove(ctx, t)
	q.MaybeCleanup(ctx)
	return err
}

// Refresher is a queue whose tickets can be shown to be alive.
type Refresher interface {
	TicketQueue

	// Refresh shows that t's owner is alive. It returns ErrNotQueued when t is
	// not in line any more, and never puts it back. Any other error leaves
	// open whether the queue has heard of it.
	Refresh(ctx context.Context, t Ticket) error

	// Lease is how long a ticket taken from this queue is believed without a
	// Refresh, counted from when Register or Refresh was called. 0 means for
	// as long as the owner lives; Refresh then only tells whether the ticket
	// is still in line.
	Lease() time.Duration
}

// Refresh shows that t's owner is alive. Without [Refresher] it only asks
// IsHead whether the ticket is still in line.
func Refresh(ctx context.Context, q TicketQueue, t Ticket) error {
	if q, ok := q.(Refresher); ok {
		return q.Refresh(ctx, t)
	}
	_, err := q.IsHead(ctx, t)
	return err
}

// Lease is how long a ticket of q is believed without a Refresh; 0, as from a
// queue without [Refresher], means for as long as its owner lives.
func Lease(q TicketQueue) time.Duration {
	if q, ok := q.(Refresher); ok {
		return q.Lease()
	}
	return 0
}

// Wake is what a waiter is told by a [Watcher].
type Wake int

const (
	// Look is a hint: the line may have moved. It proves nothing.
	Look Wake = iota

	// Granted says that the ticket has become the head, and was sent by the
	// step that made it so. It holds for as long as the ticket itself does:
	// a waiter whose lease has run out meanwhile must look all the same.
	Granted
)

// Watcher is a queue that can tell a waiter when to look.
//
// A wake-up saves waiting for the next poll; it replaces none. It may be
// spurious, late or lost.
type Watcher interface {
	TicketQueue

	// Watch begins to listen for t. The order is: listen, then look, then
	// wait. A Watch that may have missed something since t was taken says so
	// by a Look that is in wake when Watch returns; without one, the caller
	// need not look first.
	//
	// wake is never closed and holds the latest that its reader has not seen;
	// a Granted is not displaced by a Look. ctx is for Watch alone. stop ends
	// the listening and releases what it took; it may be called more than
	// once, and must be called also when the ticket is gone.
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

// Positioner is a queue that knows how many are in front of a ticket.
type Positioner interface {
	TicketQueue

	// Position removes the heads whose owners are gone, as CleanupStale does,
	// and reports how many members are in line before t; 0 means that t is the
	// head. A number above 0 may be too high (members that have left since, or
	// whose owners are gone) but never turns a head into a waiter or a waiter
	// into a head. It returns ErrNotQueued when t is not in line.
	Position(ctx context.Context, t Ticket) (ahead int, err error)
}

// Position removes the heads whose owners are gone and reports how many
// members are in line before t; 0 means that t is the head.
//
// Without [Positioner] it calls CleanupStale and IsHead, and anyone who is not
// the head has 1 before them.
func Position(ctx context.Context, q TicketQueue, t Ticket) (ahead int, err error) {
	if q, ok := q.(Positioner); ok {
		return q.Position(ctx, t)
	}
	if err := q.CleanupStale(ctx); err != nil {
		return 0, err
	}
	head, err := q.IsHead(ctx, t)
	if err != nil || head {
		return 0, err
	}
	return 1, nil
}

// Lister is a queue that can say who is in it.
type Lister interface {
	TicketQueue

	// Members lists who is in line, the head first, and removes nobody.
	Members(ctx context.Context) ([]Member, error)
}

// Members lists who is in line, the head first. Without [Lister] it returns
// an error for which errors.Is(err, errors.ErrUnsupported) holds.
func Members(ctx context.Context, q TicketQueue) ([]Member, error) {
	if l, ok := q.(Lister); ok {
		return l.Members(ctx)
	}
	return nil, fmt.Errorf("list the members of %T, which is no queue.Lister: %w", q, errors.ErrUnsupported)
}

// Member is somebody in line, as [Members] shows them to people. Only Ticket
// is a fact; the rest is what the owner said, or what the storage noted.
type Member struct {
	// Ticket is the place in line; its Ahead is the place in this listing.
	Ticket Ticket

	// Host and PID say where the owner runs, as far as it told: PID is a number
	// of the owner's own pid namespace. Empty and 0 if unknown.
	Host string
	PID  int

	// Since is when the ticket was taken, by the clock of the storage (the
	// Redis server, the file system).
	Since time.Time

	// LastSeen is when the owner last showed that it is alive, by the same
	// clock; zero if the queue keeps no such time.
	LastSeen time.Time

	// Dead says that the owner was found gone: the ticket is evicted by the
	// next one who looks.
	Dead bool
}
