package queuetest

import (
	"context"
	"slices"
	"testing"

	"github.com/fifolock/fifolock/queue"
)

// Mortal is an empty queue that can list its members ([queue.Lister]), and two ways to
// have a dead owner in it. Its Remove, or its Release if it is a [queue.Releaser], removes
// the dead that are in front then.
type Mortal struct {
	queue.TicketQueue

	// Join has an owner join, which dies when die is called. If the ticket of
	// another one was taken meanwhile, the dead one is before it.
	Join func() (die func())

	// DeadAfter has a dead owner stand behind the ticket, which is the last.
	DeadAfter func(queue.Ticket)
}

// RunEviction checks, with a queue that can have dead owners, that the eviction of
// one is told to the call that evicts it, and to no other (see [queue.OnEvicted]).
func RunEviction(t *testing.T, newMortal func(t *testing.T) Mortal) {
	for name, call := range map[string]func(t *testing.T, q Mortal, ctx context.Context, die func()) queue.Ticket{
		"Register": func(t *testing.T, q Mortal, ctx context.Context, die func()) queue.Ticket {
			die()
			ticket, err := q.Register(ctx)
			must(t, "Register", err)
			return ticket
		},
		"TryRegister": func(t *testing.T, q Mortal, ctx context.Context, die func()) queue.Ticket {
			die()
			ticket, ok, err := queue.TryRegister(ctx, q.TicketQueue)
			if must(t, "TryRegister", err); !ok {
				t.Fatal("TryRegister did not join a line in which all are dead")
			}
			return ticket
		},
		"Position": func(t *testing.T, q Mortal, ctx context.Context, die func()) queue.Ticket {
			ticket := mustRegister(t, q)
			die()
			place, err := queue.Position(ctx, q.TicketQueue, ticket)
			if must(t, "Position", err); place.Ahead > 0 {
				t.Errorf("%d are ahead, though all are dead", place.Ahead)
			}
			return ticket
		},
		"CleanupStale": func(t *testing.T, q Mortal, ctx context.Context, die func()) queue.Ticket {
			ticket := mustRegister(t, q)
			die()
			must(t, "CleanupStale", q.CleanupStale(ctx))
			return ticket
		},
	} {
		t.Run(name, func(t *testing.T) {
			q := newMortal(t)
			die := q.Join()
			var dead queue.Ticket
			var evicted []queue.Ticket
			ctx := queue.OnEvicted(t.Context(), func(tickets []queue.Ticket) {
				evicted = append(evicted, tickets...)
				mustRelease(t, q.TicketQueue, mustRegister(t, q.TicketQueue)) // no lock is held
			})
			ticket := call(t, q, ctx, func() {
				die()
				dead = plain(listMembers(t, q.TicketQueue)[0].Ticket)
			})
			must(t, "CleanupStale", q.CleanupStale(ctx))
			wantEvicted(t, evicted, dead)
			mustRelease(t, q.TicketQueue, ticket)
		})
	}
	t.Run("Release", func(t *testing.T) { releaseEvicts(t, newMortal(t)) })
}

// releaseEvicts: the owner that leaves sees to it that the next is alive.
func releaseEvicts(t *testing.T, q Mortal) {
	ticket := mustRegister(t, q)
	q.DeadAfter(ticket)
	dead := plain(listMembers(t, q.TicketQueue)[1].Ticket)
	var evicted []queue.Ticket
	ctx := queue.OnEvicted(t.Context(), func(tickets []queue.Ticket) { evicted = append(evicted, tickets...) })
	must(t, "Release", queue.Release(ctx, q.TicketQueue, ticket))
	wantEvicted(t, evicted, dead)
}

// wantEvicted compares tickets by number and member.
func wantEvicted(t *testing.T, evicted []queue.Ticket, dead queue.Ticket) {
	t.Helper()
	for i := range evicted {
		evicted[i] = plain(evicted[i])
	}
	if !slices.Equal(evicted, []queue.Ticket{dead}) {
		t.Errorf("told of %v, want %v once", evicted, dead)
	}
}

// plain is a ticket without the facts that go with it.
func plain(t queue.Ticket) queue.Ticket { return queue.Ticket{Number: t.Number, Member: t.Member} }

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func mustRegister(t *testing.T, q queue.TicketQueue) queue.Ticket {
	t.Helper()
	ticket, err := q.Register(t.Context())
	must(t, "Register", err)
	return ticket
}

func mustRelease(t *testing.T, q queue.TicketQueue, ticket queue.Ticket) {
	t.Helper()
	must(t, "Release", queue.Release(context.WithoutCancel(t.Context()), q, ticket))
}

func listMembers(t *testing.T, q queue.TicketQueue) []queue.Member {
	t.Helper()
	list, err := queue.Members(t.Context(), q)
	must(t, "Members", err)
	return list
}
