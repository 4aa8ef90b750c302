package memqueue

import "github.com/fifolock/fifolock/queue"

// LetDie has the lease of a ticket run out now.
func (q *Queue) LetDie(t queue.Ticket) {
	q.line.mu.Lock()
	defer q.line.mu.Unlock()
	for _, e := range q.line.entries {
		if e.ticket.Member == t.Member {
			e.seen = e.seen.Add(-t.Lease)
		}
	}
}
