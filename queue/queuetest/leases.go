package queuetest

import (
	"errors"
	"testing"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// RunLeases checks, for three leases, the queues that newQueue makes. Their tickets must
// have a lease. An owner that shows in time that it is alive keeps its place; one that
// does not loses it after its lease and not before. The same holds behind wrappers that
// hide optional interfaces, where an owner that cannot show that it is alive must be able
// to tell so by its ticket. It takes the time of some leases, in subtests that run side
// by side. A lease of some hundred milliseconds will do.
func RunLeases(t *testing.T, newQueue func(t *testing.T) queue.TicketQueue) {
	q := newQueue(t)
	wrappers := Hidden(q)
	wrappers["nothing"] = q
	for name := range wrappers {
		wrap := func(t *testing.T) queue.TicketQueue {
			if name == "nothing" {
				return newQueue(t)
			}
			return Hidden(newQueue(t))[name]
		}
		t.Run("without "+name, func(t *testing.T) {
			t.Parallel()
			leases(t, wrap(t))
		})
	}
	if isShared(q) {
		t.Run("a dead owner in the middle", func(t *testing.T) {
			t.Parallel()
			deadInTheMiddle(t, newQueue(t).(queue.Sharer).Share(2))
		})
	}
}

// believed is how much of a lease an owner relies on: nine tenths, as package lock
// does, because the clocks of an owner and of a storage differ.
func believed(t queue.Ticket) time.Duration { return t.Lease * 9 / 10 }

// owner is a ticket that shows that it is alive, and knows until when it may be
// believed to be.
type owner struct {
	q      queue.TicketQueue
	ticket queue.Ticket
	until  time.Time // by its own clock, from the sending of the last sign of life
}

func newOwner(t *testing.T, q queue.TicketQueue) *owner {
	t.Helper()
	sent := time.Now()
	ticket := mustRegister(t, q)
	if ticket.Lease <= 0 {
		t.Fatalf("the ticket has no lease: %+v", ticket)
	}
	return &owner{q, ticket, sent.Add(believed(ticket))}
}

// refresh shows that the owner is alive, unless its queue has no way to.
func (o *owner) refresh(t *testing.T) {
	t.Helper()
	sent := time.Now()
	switch err := queue.Refresh(t.Context(), o.q, o.ticket); {
	case err == nil:
		o.until = sent.Add(believed(o.ticket))
	case errors.Is(err, errors.ErrUnsupported):
		if _, ok := o.q.(queue.Refresher); ok {
			t.Errorf("Refresh returned %v", err)
		}
	case !o.late(err):
		t.Errorf("Refresh returned %v before the lease had ended", err)
	}
}

// late reports whether an error says no more than that the owner has not shown in time
// that it is alive, which happens on a machine that is busy.
func (o *owner) late(err error) bool {
	return errors.Is(err, queue.ErrNotQueued) && time.Now().After(o.until)
}

func (o *owner) release(t *testing.T) {
	t.Helper()
	if err := queue.Release(t.Context(), o.q, o.ticket); err != nil && !o.late(err) {
		t.Errorf("Release: %v", err)
	}
}

// leases has an owner that refreshes for three leases and then no more, and a
// waiter behind it.
func leases(t *testing.T, q queue.TicketQueue) {
	a, b := newOwner(t, q), newOwner(t, q)
	lease := a.ticket.Lease
	began := time.Now()
	for beat := began; ; time.Sleep(lease / 50) {
		if now := time.Now(); now.Sub(beat) >= lease/5 {
			beat = now
			if now.Sub(began) < 3*lease {
				a.refresh(t)
			}
			b.refresh(t)
		}
		place, err := queue.Position(t.Context(), q, b.ticket)
		answered := time.Now()
		if b.late(err) {
			return // nothing could keep the waiter alive, and nothing but the lease has ended it
		}
		if err != nil {
			t.Fatalf("Position: %v", err)
		}
		if place.Ahead > 0 {
			continue
		}
		if answered.Before(a.until) {
			t.Errorf("a second owner %v before the lease of the first had ended", a.until.Sub(answered))
		}
		b.release(t)
		return
	}
}

// deadInTheMiddle: with two owners the one that dies gives its place to the next,
// though it is not the first in line.
func deadInTheMiddle(t *testing.T, q queue.TicketQueue) {
	a, dead, c := newOwner(t, q), newOwner(t, q), newOwner(t, q)
	for {
		a.refresh(t)
		c.refresh(t)
		place, err := queue.Position(t.Context(), q, c.ticket)
		if c.late(err) {
			return
		}
		if err != nil {
			t.Fatalf("Position: %v", err)
		}
		if place.Ahead == 0 {
			break
		}
		time.Sleep(c.ticket.Lease / 10)
	}
	if now := time.Now(); now.Before(dead.until) {
		t.Errorf("a third owner of two, %v before the lease of the second had ended", dead.until.Sub(now))
	}
	head, err := q.IsHead(t.Context(), a.ticket)
	if time.Now().Before(a.until) && (err != nil || !head) {
		t.Errorf("the first, which is alive, is an owner: %v, %v", head, err)
	}
	c.release(t)
	a.release(t)
}
