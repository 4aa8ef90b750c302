package lock

import "github.com/fifolock/fifolock/queue"

// QueueOf is the queue that m stands on.
func QueueOf(m *Mutex) queue.TicketQueue { return m.base.queue }
