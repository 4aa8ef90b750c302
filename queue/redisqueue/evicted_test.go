package redisqueue_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/queuetest"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

func newMortalRedis(t *testing.T, client *redis.Client) queuetest.Mortal {
	name := redistest.Name(t)
	return queuetest.Mortal{
		TicketQueue: redisqueue.New(client, name),
		Join: func() func() {
			return func() { plantDead(t, client, name, 1, 1) }
		},
		DeadAfter: func(ticket queue.Ticket) { plantDead(t, client, name, ticket.Number+1, 1) },
	}
}

func TestEvicted(t *testing.T) {
	t.Parallel()
	t.Run("redis", func(t *testing.T) {
		queuetest.RunEviction(t, func(t *testing.T) queuetest.Mortal { return newMortalRedis(t, redistest.Client(t)) })
	})
	t.Run("miniredis", func(t *testing.T) {
		queuetest.RunEviction(t, func(t *testing.T) queuetest.Mortal {
			return newMortalRedis(t, redistest.ClientOf(t, redistest.Miniredis(t)))
		})
	})
}

// A heartbeat on Redis is a look at the line, too.
func TestEvictedByRefresh(t *testing.T) {
	q := newMortalRedis(t, redistest.Client(t))
	die := q.Join()
	ticket := mustRegister(t, q)
	die()
	evicted := 0
	ctx := queue.OnEvicted(t.Context(), func(tickets []queue.Ticket) { evicted += len(tickets) })
	if err := queue.Refresh(ctx, q.TicketQueue, ticket); err != nil {
		t.Fatal(err)
	}
	if evicted != 1 {
		t.Errorf("told of %d, want 1", evicted)
	}
	mustRelease(t, q.TicketQueue, ticket)
}

// Every one of many dead is told, however many calls of the script it takes.
func TestEvictedManyOnRedis(t *testing.T) {
	client, name := redistest.Client(t), redistest.Name(t)
	plantDead(t, client, name, 1, 2500)
	var evicted []queue.Ticket
	ctx := queue.OnEvicted(t.Context(), func(tickets []queue.Ticket) { evicted = append(evicted, tickets...) })
	q := redisqueue.New(client, name)
	ticket, err := q.Register(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(evicted) != 2500 || evicted[2499].Number != 2500 {
		t.Errorf("told of %d, want 2500", len(evicted))
	}
	mustRelease(t, q, ticket)
}

// It reaches through a queue that hides everything but the six methods.
func TestEvictedThroughSixMethods(t *testing.T) {
	q := newMortalRedis(t, redistest.Client(t))
	q.Join()()
	evicted := 0
	ctx := queue.OnEvicted(t.Context(), func(tickets []queue.Ticket) { evicted += len(tickets) })
	ticket, ok, err := queue.TryRegister(ctx, queuetest.Bare(q.TicketQueue))
	if err != nil || !ok {
		t.Fatalf("TryRegister = %v, %v", ok, err)
	}
	if evicted != 1 {
		t.Errorf("told of %d, want 1", evicted)
	}
	mustRelease(t, q.TicketQueue, ticket)
}
