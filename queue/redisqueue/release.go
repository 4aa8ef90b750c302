package redisqueue

import (
	"context"

	"github.com/fifolock/fifolock/queue"
)

// Remove takes t out of the line, tells the next, and leaves the seq key as it
// is. See Release.
func (v *view) Remove(ctx context.Context, t queue.Ticket) error {
	return v.failedTicket(ctx, "remove", t, v.leave(ctx, t, 0))
}

// Release takes t out of the line, tells those that own now, and removes every key
// of a line that has become empty, in one round trip.
//
// When the server does not answer, or is not able to just now (it is busy,
// loading, or about to be replaced), Release asks again until ctx ends or the
// lease must have run out. If a request was not answered, and the answer to the next
// is that t is not in line, t is taken to have been removed by the first.
func (v *view) Release(ctx context.Context, t queue.Ticket) error {
	return v.failedTicket(ctx, "release", t, v.leave(ctx, t, 1))
}

func (v *view) leave(ctx context.Context, t queue.Ticket, cleanup int) error {
	n, token, err := v.beginTicket(ctx, t)
	if err != nil {
		return err
	}
	lease := v.leaseOf(t)
	var mark int64
	if _, ok := v.resent.LoadAndDelete(token); ok {
		mark = lease.Milliseconds()
	}
	leaving := n.GiveUp(token) // the next of this process goes on now
	var answer reply
	defer func() { // whatever a trace of the caller's does
		leaving.Answered(answer.status == statusOK, answer.text(0))
		v.absent(token, answer.status == statusGone)
	}()
	r := v.request(releaseScript, n.ID(), v.ticketKeys(token), t.Member, mark, cleanup)
	r.ordered = leaving.Ordered()
	answer, lost, err := v.send(ctx, persistent(lease), r)
	deliver(n, answer)
	if lost > 0 {
		n.Reload(v.name) // a lost reply may have carried a message for one of ours
	}
	if err != nil {
		return err
	}
	if answer.status == statusGone && lost > 0 {
		return nil // the reply to an earlier request was lost
	}
	return answer.status.err()
}
