package cli

import (
	"context"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// LeaveTimeout is how long the storage may take to remove the ticket of a wait that has
// ended.
const LeaveTimeout = 5 * time.Second

// Leave takes the ticket of a call that has failed out of the line, for a program that ends
// now; a zero ticket was in none. The call does so itself, but returns after a moment: a
// removal that is still on its way ends with the process, and the line would wait for the
// lease.
func Leave(q queue.TicketQueue, ticket queue.Ticket) {
	if ticket == (queue.Ticket{}) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), LeaveTimeout)
	defer cancel()
	left := make(chan struct{})
	go func() {
		defer close(left)
		queue.Release(ctx, q, ticket) // ErrNotQueued is as good; the call has another error already
	}()
	select {
	case <-left:
	case <-ctx.Done(): // a storage may not return when ctx ends
	}
}
