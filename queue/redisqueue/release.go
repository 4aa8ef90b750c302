package redisqueue

import (
	"context"
	"errors"

	"github.com/fifolock/fifolock/queue"
)

// Remove takes t out of the line, tells the next, and leaves the seq key as it
// is. See Release.
func (r *Queue) Remove(ctx context.Context, t queue.Ticket) error {
	return r.leave(ctx, "remove", t, false)
}

// Release takes t out of the line, tells the next, and removes every key of a
// line that has become empty, in one round trip.
//
// When the server does not answer, or is not able to just now (it is busy,
// loading, or about to be replaced), Release asks again until ctx ends or the
// lease must have run out. An answer to a repeated request says no more
// whether it was this call that removed t; it is taken to have been.
func (r *Queue) Release(ctx context.Context, t queue.Ticket) error {
	return r.leave(ctx, "release", t, true)
}

func (r *Queue) leave(ctx context.Context, operation string, t queue.Ticket, cleanup bool) error {
	h, token, err := r.beginTicket(ctx, t)
	if err != nil {
		return r.failTicket(ctx, operation, t, err)
	}
	h.drop(token)
	request := &sending{value: t.Member}
	flag := 0
	if cleanup {
		flag = 1
	}
	err = r.persist(ctx, isFinal, func() error {
		sent := request.times.Load()
		answer, err := runScript(ctx, r.client, releaseScript, request, r.ticketKeys(token), request, h.id, flag)
		if isRefusal(err) && request.times.Load() == sent+1 {
			request.times.Store(sent) // it was not executed
		}
		if err != nil {
			return err
		}
		h.deliver(answer.message)
		if answer.status == statusGone && request.times.Load() > 1 {
			return nil // the reply to an earlier request was lost
		}
		return answer.status.err()
	})
	if request.times.Load() > 1 {
		h.look() // a lost reply may have carried a grant for one of ours
	}
	if _, ok := r.overtaken.LoadAndDelete(token); ok && (err == nil || errors.Is(err, queue.ErrNotQueued)) {
		r.abandon(ctx, h, token, false)
	}
	if err != nil {
		return r.failTicket(ctx, operation, t, err)
	}
	return nil
}
