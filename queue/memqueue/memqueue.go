// Package memqueue keeps a ticket queue in memory, for the goroutines of one
// process. It has two uses.
//
// It is the reference: one mutex, one slice, and a loop over it for every
// question, meant to be obviously right and not fast. The other queues are
// tested against it.
//
// It is the fake for the tests of a program that uses a lock. It starts no
// goroutine and no timer, so it works in a testing/synctest bubble, where a lease
// of 30 s ends in no time:
//
//	m := lock.New(memqueue.New(memqueue.WithLease(30 * time.Second)))
//
// To test a program that loses the lock, take the ticket away: [Queue.Members] lists
// the line, and [Queue.Remove] of its first ends the hold. The holder hears of it at
// its next heartbeat: within 10 s, or a third of the lease.
//
// A value is the line itself: two values are always two lines. [Queue.Share]
// is a view of the same line.
package memqueue

import (
	"context"
	"errors"
	"fmt"

	"github.com/fifolock/fifolock/queue"
)

// Queue is a ticket queue in memory. It implements every optional interface of
// package queue. It is made by [New]. All methods may be called concurrently.
type Queue struct {
	options options
	n       int   // how many own; 1 for the queue itself
	kind    kind  // of the tickets that are taken through this value
	err     error // of the arguments; returned by every call
	line    *line
}

// full has the interfaces of a view of [Queue.Share]: all but Sharer.
type full interface {
	fmt.Stringer
	queue.TryRegisterer
	queue.Releaser
	queue.Refresher
	queue.Watcher
	queue.Positioner
	queue.Lister
}

var (
	_ full         = (*Queue)(nil)
	_ queue.Sharer = (*Queue)(nil)
)

var errNoNew = errors.New("the Queue was not made by New: use the pointer that New returns")

// New makes an empty queue. What is wrong with the options is returned by the
// first call.
func New(opts ...Option) *Queue {
	q := &Queue{n: 1, kind: exclusive, line: &line{}}
	q.options, q.err = newOptions(opts)
	return q
}

// Share implements [queue.Sharer].
func (q *Queue) Share(n int) queue.TicketQueue {
	view := *q
	view.n, view.kind = n, shared
	if n < 1 && view.err == nil {
		view.err = fmt.Errorf("Share was given %d: give 1 or more", n)
	}
	return struct{ full }{&view}
}

// String names the queue in errors.
func (q *Queue) String() string { return "memory queue" }

// Register implements [queue.TicketQueue].
func (q *Queue) Register(ctx context.Context) (t queue.Ticket, err error) {
	err = q.do(ctx, operation{what: "register"}, func(l *line) error {
		if err := l.accepts(q.kind); err != nil {
			return err
		}
		t = l.join(q.n, q.kind, q.options)
		return nil
	})
	return t, err
}

// TryRegister implements [queue.TryRegisterer].
func (q *Queue) TryRegister(ctx context.Context) (t queue.Ticket, ok bool, err error) {
	err = q.do(ctx, operation{what: "try to register"}, func(l *line) error {
		if err := l.accepts(q.kind); err != nil || len(l.entries) >= q.n {
			return err
		}
		t, ok = l.join(q.n, q.kind, q.options), true
		return nil
	})
	return t, ok, err
}

// IsHead implements [queue.TicketQueue].
func (q *Queue) IsHead(ctx context.Context, t queue.Ticket) (head bool, err error) {
	err = q.do(ctx, operation{"look at", t.Number}, func(l *line) error {
		i, err := l.find(t)
		head = err == nil && i < q.n
		return err
	})
	return head, err
}

// Position implements [queue.Positioner].
func (q *Queue) Position(ctx context.Context, t queue.Ticket) (place queue.Place, err error) {
	err = q.do(ctx, operation{"look at", t.Number}, func(l *line) error {
		i, err := l.find(t)
		if err == nil && i >= q.n {
			place = queue.Place{Ahead: i - q.n + 1, Recheck: l.recheck(i, q.n)}
		}
		return err
	})
	return place, err
}

// Remove implements [queue.TicketQueue]. The ticket leaves the line also when ctx has
// ended: without a lease nothing else would ever end it.
func (q *Queue) Remove(ctx context.Context, t queue.Ticket) error {
	return q.leave(ctx, operation{"remove", t.Number}, t)
}

// Release implements [queue.Releaser]; there is nothing to clean up.
func (q *Queue) Release(ctx context.Context, t queue.Ticket) error {
	return q.leave(ctx, operation{"release", t.Number}, t)
}

// Refresh implements [queue.Refresher].
func (q *Queue) Refresh(ctx context.Context, t queue.Ticket) error {
	return q.do(ctx, operation{"refresh", t.Number}, func(l *line) error { return l.refresh(t) })
}

// CleanupStale implements [queue.TicketQueue].
func (q *Queue) CleanupStale(ctx context.Context) error {
	return q.do(ctx, operation{what: "clean up"}, func(*line) error { return nil }) // do evicts
}

// IsEmpty implements [queue.TicketQueue].
func (q *Queue) IsEmpty(ctx context.Context) (empty bool, err error) {
	err = q.only(ctx, operation{what: "look"}, func(l *line) error {
		empty = len(l.entries) == 0
		return nil
	})
	return empty, err
}

// MaybeCleanup implements [queue.TicketQueue]. An empty queue in memory has
// nothing to remove: the last number given out stays, for want of a better
// way to keep the promise that numbers never repeat.
func (q *Queue) MaybeCleanup(context.Context) {}

// Watch implements [queue.Watcher].
func (q *Queue) Watch(ctx context.Context, t queue.Ticket) (wake <-chan queue.Wake, stop func(), err error) {
	stop = func() {}
	err = q.only(ctx, operation{"watch", t.Number}, func(l *line) error {
		wake, stop = l.watch(t)
		return nil
	})
	return wake, stop, err
}

// Members implements [queue.Lister].
func (q *Queue) Members(ctx context.Context) (members []queue.Member, err error) {
	err = q.only(ctx, operation{what: "list the members"}, func(l *line) error {
		members = l.members()
		return nil
	})
	return members, err
}

// do runs f on the line, of which the dead among the first n have been removed,
// and tells which tickets this call has evicted.
func (q *Queue) do(ctx context.Context, op operation, f func(*line) error) error {
	var evicted []queue.Ticket
	err := q.only(ctx, op, func(l *line) error {
		evicted = l.evict(q.n)
		return f(l)
	})
	queue.Evicted(ctx, evicted) // with no lock held
	return err
}

// leave takes t out of the line, and then the dead among the first n: not before,
// because t's own owner is not one of them, however late it comes.
func (q *Queue) leave(ctx context.Context, op operation, t queue.Ticket) error {
	var evicted []queue.Ticket
	err := q.only(context.WithoutCancel(ctx), op, func(l *line) error {
		err := l.remove(t)
		evicted = l.evict(q.n)
		return err
	})
	queue.Evicted(ctx, evicted)
	return err
}

// only is do without the eviction. It makes the error of every method.
func (q *Queue) only(ctx context.Context, op operation, f func(*line) error) error {
	err := ctx.Err()
	if err == nil {
		err = q.err
	}
	if err == nil && q.line == nil {
		err = errNoNew
	}
	if err == nil {
		q.line.mu.Lock()
		defer q.line.mu.Unlock()
		err = f(q.line)
	}
	if err != nil {
		return &queue.Error{Op: op.String(), Queue: q.String(), Err: err}
	}
	return nil
}

// operation names a method in its errors.
type operation struct {
	what   string
	number int64 // of the ticket; 0 if it is not about one
}

func (o operation) String() string {
	if o.number == 0 {
		return o.what
	}
	return fmt.Sprintf("%s ticket %d", o.what, o.number)
}
