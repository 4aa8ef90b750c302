package queue_test

import (
	"context"
	"errors"
	"testing"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/memqueue"
)

// overtaken is a queue with six methods. Another ticket comes before each that is taken,
// and the ctx ends as the queue is asked which of them is the head.
type overtaken struct {
	queue.TicketQueue
	cancel context.CancelFunc
	other  queue.Ticket
}

func (q *overtaken) Register(ctx context.Context) (t queue.Ticket, err error) {
	if q.other, err = q.TicketQueue.Register(ctx); err != nil {
		return queue.Ticket{}, err
	}
	return q.TicketQueue.Register(ctx)
}

func (q *overtaken) IsHead(ctx context.Context, _ queue.Ticket) (bool, error) {
	q.cancel()
	return false, ctx.Err()
}

func (q *overtaken) Remove(ctx context.Context, t queue.Ticket) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return q.TicketQueue.Remove(ctx, t)
}

// A TryRegister whose ctx ends when it has a ticket that does not own leaves none.
func TestTryRegisterStepsBackAfterTheEndOfTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	line := memqueue.New()
	q := &overtaken{TicketQueue: line, cancel: cancel}
	if _, ok, err := queue.TryRegister(ctx, q); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("TryRegister returned %v, %v, want that its ctx has ended", ok, err)
	}
	left, err := queue.Members(t.Context(), line)
	if err != nil || len(left) != 1 || left[0].Ticket.Number != q.other.Number {
		t.Errorf("Members returned %v, %v, want ticket %d alone", left, err, q.other.Number)
	}
}
