package redisqueue

import (
	"context"
	"errors"
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
