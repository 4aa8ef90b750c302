package redisqueue

import (
	"context"

	"github.com/fifolock/fifolock/queue"
)

// IsHead reports whether t is the first in line whose owner is alive. It
// removes the dead before that one.
func (r *Queue) IsHead(ctx context.Context, t queue.Ticket) (bool, error) {
	ahead, err := r.position(ctx, "is head", t)
	return err == nil && ahead == 0, err
}

// Position removes the dead heads and reports how many are in line before t,
// in one round trip.
func (r *Queue) Position(ctx context.Context, t queue.Ticket) (queue.Place, error) {
	ahead, err := r.position(ctx, "position", t)
	return queue.Place{Ahead: ahead}, err
}

func (r *Queue) position(ctx context.Context, operation string, t queue.Ticket) (int, error) {
	h, token, err := r.beginTicket(ctx, t)
	if err != nil {
		return 0, r.failTicket(ctx, operation, t, err)
	}
	answer, err := r.repeat(ctx, h, positionScript, r.ticketKeys(token), t.Member, h.id)
	if err != nil {
		h.dropGone(token, err)
		return 0, r.failTicket(ctx, operation, t, err)
	}
	return int(answer.integer(0)), nil
}
