package redisqueue

import (
	"context"
	"time"

	"github.com/fifolock/fifolock/queue"
)

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
