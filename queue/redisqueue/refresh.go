package redisqueue

import (
	"context"

	"github.com/fifolock/fifolock/queue"
)

// Refresh renews t's lease, and removes the dead heads. It needs no memory of
// the server, and never makes a ticket or a lease that is not there.
func (r *Queue) Refresh(ctx context.Context, t queue.Ticket) error {
	const operation = "refresh"
	h, token, err := r.beginTicket(ctx, t)
	if err != nil {
		return r.failTicket(ctx, operation, t, err)
	}
	_, err = r.repeat(ctx, h, refreshScript, r.ticketKeys(token), t.Member, t.Lease.Milliseconds(), 2*t.Lease.Milliseconds(), h.id)
	if err != nil {
		h.dropGone(token, err)
		return r.failTicket(ctx, operation, t, err)
	}
	return nil
}
