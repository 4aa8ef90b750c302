package notifier_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
	"github.com/fifolock/fifolock/queue/redisqueue/internal/notifier"
)

// Two processes go on from one snapshot of a machine (K14): their notifiers have the
// same ID, and so the same channel. Only what is drawn for each ticket differs. There
// are two tickets, and a message for one opens no other.
func TestK14TwoProcessesOfOneSnapshot(t *testing.T) {
	redistest.NeedReal(t)
	name := redistest.Name(t)
	var queues []*redisqueue.Queue
	var notifiers []*notifier.Notifier
	for range 2 {
		client := redistest.Client(t)
		queues = append(queues, redisqueue.New(client, name))
		notifiers = append(notifiers, notifier.Of(client, nil)) // the queue's
	}
	notifiers[1].TakeID(notifiers[0])

	var tickets []queue.Ticket
	for _, q := range queues {
		ticket, err := q.Register(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tickets = append(tickets, ticket)
	}
	if tickets[0].Number == tickets[1].Number || tickets[0].Member == tickets[1].Member || tickets[1].Ahead != 1 {
		t.Errorf("both got %+v and %+v", tickets[0], tickets[1])
	}
	for i, q := range queues {
		if err := q.Release(t.Context(), tickets[i]); err != nil {
			t.Error(err)
		}
	}

	first, second := lock.New(queues[0]), lock.New(queues[1])
	for range 10 {
		if err := first.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		const moment = 20 * time.Millisecond // for the second to wait in vain
		ctx, cancel := context.WithTimeout(t.Context(), moment)
		if err := second.Lock(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Lock returned %v while the first owns", err)
		}
		cancel()
		granted := make(chan error, 1)
		go func() { granted <- second.Lock(t.Context()) }()
		if err := first.Unlock(); err != nil {
			t.Error(err)
		}
		if err := <-granted; err != nil {
			t.Fatal(err)
		}
		if err := second.Unlock(); err != nil {
			t.Error(err)
		}
	}
}
