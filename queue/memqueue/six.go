package memqueue

import "github.com/fifolock/fifolock/queue"

// Six hides every method of q but the six that a queue must have. It is what
// somebody's own queue looks like to package lock.
func Six(q queue.TicketQueue) queue.TicketQueue {
	return struct{ queue.TicketQueue }{q}
}
