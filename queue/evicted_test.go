//go:build unix

package queue_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/memqueue"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/queue"
)

// mortal is an empty queue, and two ways to have somebody dead in it.
type mortal struct {
	queue.TicketQueue

	// join has somebody join, who dies when die is called.
	join func() (die func())

	// deadAfter has somebody dead stand behind the ticket, which is the last.
	deadAfter func(queue.Ticket)
}

// mortals has a queue of each kind. On Redis the dead have just no lease.
var mortals = map[string]func(t *testing.T) mortal{
	"file": func(t *testing.T) mortal {
		f := newFileFixture(t)
		return mortal{
			TicketQueue: f.q,
			join: func() func() {
				w := f.hold()
				return func() { w.kill() }
			},
			deadAfter: func(queue.Ticket) { f.hold().kill() },
		}
	},
	"redis": func(t *testing.T) mortal {
		return newMortalRedis(t, redistest.Client(t))
	},
	"miniredis": func(t *testing.T) mortal {
		return newMortalRedis(t, redistest.ClientOf(t, redistest.Miniredis(t)))
	},
}

func newMortalRedis(t *testing.T, client *redis.Client) mortal {
	name := redistest.Name(t)
	return mortal{
		TicketQueue: queue.NewRedis(client, name),
		join: func() func() {
			return func() { plantDead(t, client, name, 1, 1) }
		},
		deadAfter: func(ticket queue.Ticket) { plantDead(t, client, name, ticket.Number+1, 1) },
	}
}

// Whom a call evicts is told to that call, and to no other.
func TestEvicted(t *testing.T) {
	for kind, newMortal := range mortals {
		for what, operation := range map[string]func(t *testing.T, q mortal, dead func(), ctx context.Context) (queue.Ticket, error){
			"Register": func(t *testing.T, q mortal, dead func(), ctx context.Context) (queue.Ticket, error) {
				dead()
				return q.Register(ctx)
			},
			"TryRegister": func(t *testing.T, q mortal, dead func(), ctx context.Context) (queue.Ticket, error) {
				dead()
				ticket, _, err := queue.TryRegister(ctx, q.TicketQueue)
				return ticket, err
			},
			"Position": func(t *testing.T, q mortal, dead func(), ctx context.Context) (queue.Ticket, error) {
				ticket := mustRegister(t, q)
				dead()
				_, err := queue.Position(ctx, q.TicketQueue, ticket)
				return ticket, err
			},
			"CleanupStale": func(t *testing.T, q mortal, dead func(), ctx context.Context) (queue.Ticket, error) {
				ticket := mustRegister(t, q)
				dead()
				return ticket, q.CleanupStale(ctx)
			},
		} {
			t.Run(kind+"/"+what, func(t *testing.T) {
				q := newMortal(t)
				die := q.join()
				var dead queue.Ticket
				var evicted []queue.Ticket
				ctx := queue.OnEvicted(t.Context(), func(tickets []queue.Ticket) {
					evicted = append(evicted, tickets...)
					mustRelease(t, q.TicketQueue, mustRegister(t, q.TicketQueue)) // no lock is held
				})
				ticket, err := operation(t, q, func() {
					die()
					list := members(t, q.TicketQueue)
					dead = queue.Ticket{Number: list[0].Ticket.Number, Member: list[0].Ticket.Member}
				}, ctx)
				if err != nil {
					t.Fatal(err)
				}
				if err := q.CleanupStale(ctx); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(evicted, []queue.Ticket{dead}) {
					t.Errorf("told of %v, want %v once", evicted, dead)
				}
				mustRelease(t, q.TicketQueue, ticket)
			})
		}
	}
}

// The one who leaves sees to it that the next is alive.
func TestEvictedByRelease(t *testing.T) {
	for kind, newMortal := range mortals {
		t.Run(kind, func(t *testing.T) {
			q := newMortal(t)
			ticket := mustRegister(t, q)
			q.deadAfter(ticket)
			dead := members(t, q.TicketQueue)[1].Ticket
			var evicted []queue.Ticket
			ctx := queue.OnEvicted(t.Context(), func(tickets []queue.Ticket) { evicted = append(evicted, tickets...) })
			if err := queue.Release(ctx, q.TicketQueue, ticket); err != nil {
				t.Fatal(err)
			}
			if len(evicted) != 1 || evicted[0].Member != dead.Member || evicted[0].Number != dead.Number {
				t.Errorf("told of %v, want %v once", evicted, dead)
			}
		})
	}
}

// A heartbeat on Redis is a look at the line, too.
func TestEvictedByRefresh(t *testing.T) {
	q := mortals["redis"](t)
	die := q.join()
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
	q := queue.NewRedis(client, name)
	ticket, err := q.Register(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(evicted) != 2500 || evicted[2499].Number != 2500 {
		t.Errorf("told of %d, want 2500", len(evicted))
	}
	mustRelease(t, q, ticket)
}

// An eviction by age on files is told as one by proof is.
func TestEvictedByAge(t *testing.T) {
	f := newFileFixture(t, queue.WithStaleTimeout(10*time.Millisecond))
	stale := f.register()
	var evicted []queue.Ticket
	ctx := queue.OnEvicted(t.Context(), func(tickets []queue.Ticket) { evicted = append(evicted, tickets...) })
	for len(evicted) == 0 {
		f.must("CleanupStale", f.q.CleanupStale(ctx))
	}
	if !slices.Equal(evicted, []queue.Ticket{stale}) {
		t.Errorf("told of %v, want %v", evicted, stale)
	}
	f.q.MaybeCleanup(t.Context())
}

// A ctx may have several who want to know; and one with none costs nothing.
func TestOnEvictedTwice(t *testing.T) {
	var told []string
	ctx := queue.OnEvicted(t.Context(), func([]queue.Ticket) { told = append(told, "first") })
	ctx = queue.OnEvicted(ctx, func([]queue.Ticket) { told = append(told, "second") })
	queue.Evicted(ctx, nil)
	queue.Evicted(t.Context(), []queue.Ticket{{Number: 1}})
	if told != nil {
		t.Errorf("told of nobody: %v", told)
	}
	queue.Evicted(ctx, []queue.Ticket{{Number: 1}})
	if !slices.Equal(told, []string{"second", "first"}) {
		t.Errorf("told in the order %v", told)
	}
}

// It reaches through a queue that hides everything but the six methods.
func TestEvictedThroughSixMethods(t *testing.T) {
	q := mortals["redis"](t)
	q.join()()
	evicted := 0
	ctx := queue.OnEvicted(t.Context(), func(tickets []queue.Ticket) { evicted += len(tickets) })
	ticket, ok, err := queue.TryRegister(ctx, memqueue.Six(q.TicketQueue))
	if err != nil || !ok {
		t.Fatalf("TryRegister = %v, %v", ok, err)
	}
	if evicted != 1 {
		t.Errorf("told of %d, want 1", evicted)
	}
	mustRelease(t, q.TicketQueue, ticket)
}
