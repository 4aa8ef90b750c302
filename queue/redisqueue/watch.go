package redisqueue

import (
	"context"
	"errors"
	"fmt"

	"github.com/fifolock/fifolock/queue"
)

// Watch listens for t, through the one connection that the client has for
// this. It does no I/O itself: the connection is made in the background, and
// the waiter gets a queue.WakeHint when it is there, and whenever it was lost.
//
// Only tickets that were taken through the same client can be watched; for any
// other it returns an error for which errors.Is(err, errors.ErrUnsupported)
// holds.
func (r *Queue) Watch(ctx context.Context, t queue.Ticket) (wake <-chan queue.Wake, stop func(), err error) {
	const operation = "watch"
	h, token, err := r.beginTicket(ctx, t)
	if err == nil && !h.owns(token) {
		err = fmt.Errorf("the ticket was taken through another client: %w", errors.ErrUnsupported)
	}
	if err != nil {
		return nil, func() {}, r.failTicket(ctx, operation, t, err)
	}
	wake, stop = h.watch(token)
	return wake, stop, nil
}
