package redisqueue

import (
	"context"
	"errors"
	"fmt"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue/internal/notifier"
)

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
