package redisqueue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue/internal/notifier"
)

// IsHead reports whether t owns: whether it is the first in line whose owner is
// alive, or one of the first in a view of [Queue.Share]. It removes the dead among
// them.
func (v *view) IsHead(ctx context.Context, t queue.Ticket) (bool, error) {
	place, err := v.place(ctx, t)
	return err == nil && place.Ahead == 0, v.failedTicket(ctx, "is head", t, err)
}

// Position removes the dead among the owners and reports how many must leave before
// t owns, in one round trip.
//
// Recheck is how long all the owners are believed. It is 0 as long as t is not
// watched, or the subscription is refused or down, and for a while after a ticket
// of this client was found to own without having been told.
func (v *view) Position(ctx context.Context, t queue.Ticket) (queue.Place, error) {
	place, err := v.place(ctx, t)
	return place, v.failedTicket(ctx, "position", t, err)
}

func (v *view) place(ctx context.Context, t queue.Ticket) (queue.Place, error) {
	n, token, err := v.beginTicket(ctx, t)
	if err != nil {
		return queue.Place{}, err
	}
	if err := n.Settle(ctx, token); err != nil {
		return queue.Place{}, err
	}
	answer, err := v.repeat(ctx, n, v.request(positionScript, n.ID(), v.ticketKeys(token), t.Member))
	if err != nil {
		v.dropGone(n, token, err)
		return queue.Place{}, err
	}
	place := queue.Place{Ahead: int(answer.integer(0))}
	milliseconds := answer.integer(1)
	v.repairIf(ctx, n, milliseconds)
	switch {
	case place.Ahead == 0:
		n.Found(token)
	case milliseconds > 0 && n.Reliable(token):
		place.Recheck = time.Duration(milliseconds) * time.Millisecond
	}
	return place, nil
}

// dropGone drops the waiter of a ticket that an operation found gone.
func (s *storage) dropGone(n *notifier.Notifier, token string, err error) {
	if errors.Is(err, queue.ErrNotQueued) {
		n.Drop(token)
		s.absent(token, true)
	}
}

// Watch listens for t, through the one connection that the client has for
// this. It does no I/O itself: the connection is made in the background. A waiter
// near the head gets a [queue.WakeHint] when it is there, and whenever it was lost;
// every waiter gets one when the client was closed.
//
// Only tickets that were taken through the same client can be watched; for any
// other it returns an error for which errors.Is(err, errors.ErrUnsupported)
// holds.
func (v *view) Watch(ctx context.Context, t queue.Ticket) (wake <-chan queue.Wake, stop func(), err error) {
	n, token, err := v.beginTicket(ctx, t)
	if err == nil && !n.Owns(token) {
		err = fmt.Errorf("the ticket was taken through another client: %w", errors.ErrUnsupported)
	}
	if err != nil {
		return nil, func() {}, v.failedTicket(ctx, "watch", t, err)
	}
	wake, stop = n.Watch(v.waiter(token, t))
	return wake, stop, nil
}

// waiter is what the notifier must know of a ticket.
func (v *view) waiter(token string, t queue.Ticket) notifier.Ticket {
	return notifier.Ticket{Token: token, Entry: t.Member, Line: v.name, Number: t.Number, Owners: max(1, v.owners), Presence: v.presence}
}

// Refresh makes t's lease last again for as long as it was made, whatever this
// queue's own is, and removes the dead among the owners. It needs no memory of the
// server, and never makes a ticket or a lease that is not there.
func (v *view) Refresh(ctx context.Context, t queue.Ticket) error {
	return v.failedTicket(ctx, "refresh", t, v.refresh(ctx, t))
}

func (v *view) refresh(ctx context.Context, t queue.Ticket) error {
	n, token, err := v.beginTicket(ctx, t)
	if err != nil {
		return err
	}
	sent := time.Now()
	_, err = v.repeat(ctx, n, v.request(refreshScript, n.ID(), v.ticketKeys(token), t.Member, v.presenceToKeep(token)))
	v.dropGone(n, token, err)
	if err == nil {
		n.Renewed(token, believed(sent, v.leaseOf(t)))
	}
	return err
}

// Remove takes t out of the line, tells the next, and leaves the seq key as it
// is. See Release.
func (v *view) Remove(ctx context.Context, t queue.Ticket) error {
	return v.failedTicket(ctx, "remove", t, v.leave(ctx, t, 0))
}

// Release takes t out of the line, tells those that own now, and removes every key
// of a line that has become empty, in one round trip.
//
// When the server does not answer, or is not able to just now (it is busy,
// loading, or about to be replaced), Release asks again until ctx ends or the
// lease must have run out. If a request was not answered, and the answer to the next
// is that t is not in line, t is taken to have been removed by the first.
func (v *view) Release(ctx context.Context, t queue.Ticket) error {
	return v.failedTicket(ctx, "release", t, v.leave(ctx, t, 1))
}

func (v *view) leave(ctx context.Context, t queue.Ticket, cleanup int) error {
	n, token, err := v.beginTicket(ctx, t)
	if err != nil {
		return err
	}
	lease := v.leaseOf(t)
	var mark int64
	if _, ok := v.resent.LoadAndDelete(token); ok {
		mark = lease.Milliseconds()
	}
	leaving := n.GiveUp(token) // the next of this process goes on now
	var answer reply
	defer func() { // whatever a trace of the caller's does
		leaving.Answered(answer.status == statusOK, answer.text(0))
		v.absent(token, answer.status == statusGone)
	}()
	r := v.request(releaseScript, n.ID(), v.ticketKeys(token), t.Member, mark, cleanup)
	r.ordered = leaving.Ordered()
	answer, lost, err := v.send(ctx, persistent(lease), r)
	deliver(n, answer)
	if lost > 0 {
		n.Reload(v.name) // a lost reply may have carried a message for one of ours
	}
	if err != nil {
		return err
	}
	if answer.status == statusGone && lost > 0 {
		return nil // the reply to an earlier request was lost
	}
	return answer.status.err()
}
