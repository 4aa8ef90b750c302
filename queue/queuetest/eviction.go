package queuetest

import (
	"context"
	"slices"
	"testing"

	"github.com/fifolock/fifolock/queue"
)

// Mortal is an empty queue, and two ways to have a dead owner in it.
type Mortal struct {
	queue.TicketQueue

	// Join has an owner join, which dies when die is called.
	Join func() (die func())

	// DeadAfter has a dead owner stand behind the ticket, which is the last.
	DeadAfter func(queue.Ticket)
}

// RunEviction checks, with a queue that can have dead owners, that the eviction of
// one is told to the call that evicts it, and to no other (see [queue.OnEvicted]).
func RunEviction(t *testing.T, newMortal func(t *testing.T) Mortal) {
	for what, operation := range map[string]func(t *testing.T, q Mortal, dead func(), ctx context.Context) (queue.Ticket, error){
		"Register": func(t *testing.T, q Mortal, dead func(), ctx context.Context) (queue.Ticket, error) {
			dead()
			return q.Register(ctx)
		},
		"TryRegister": func(t *testing.T, q Mortal, dead func(), ctx context.Context) (queue.Ticket, error) {
			dead()
			ticket, _, err := queue.TryRegister(ctx, q.TicketQueue)
			return ticket, err
		},
		"Position": func(t *testing.T, q Mortal, dead func(), ctx context.Context) (queue.Ticket, error) {
			ticket := mustRegister(t, q)
			dead()
			_, err := queue.Position(ctx, q.TicketQueue, ticket)
			return ticket, err
		},
		"CleanupStale": func(t *testing.T, q Mortal, dead func(), ctx context.Context) (queue.Ticket, error) {
			ticket := mustRegister(t, q)
			dead()
			return ticket, q.CleanupStale(ctx)
		},
	} {
		t.Run(what, func(t *testing.T) {
			q := newMortal(t)
			die := q.Join()
			var dead queue.Ticket
			var evicted []queue.Ticket
			ctx := queue.OnEvicted(t.Context(), func(tickets []queue.Ticket) {
				evicted = append(evicted, tickets...)
				mustRelease(t, q.TicketQueue, mustRegister(t, q.TicketQueue)) // no lock is held
			})
			ticket, err := operation(t, q, func() {
				die()
				list := listMembers(t, q.TicketQueue)
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
	t.Run("Release", func(t *testing.T) { releaseEvicts(t, newMortal(t)) })
}

// releaseEvicts: the owner that leaves sees to it that the next is alive.
func releaseEvicts(t *testing.T, q Mortal) {
	ticket := mustRegister(t, q)
	q.DeadAfter(ticket)
	dead := listMembers(t, q.TicketQueue)[1].Ticket
	var evicted []queue.Ticket
	ctx := queue.OnEvicted(t.Context(), func(tickets []queue.Ticket) { evicted = append(evicted, tickets...) })
	if err := queue.Release(ctx, q.TicketQueue, ticket); err != nil {
		t.Fatal(err)
	}
	if len(evicted) != 1 || evicted[0].Member != dead.Member || evicted[0].Number != dead.Number {
		t.Errorf("told of %v, want %v once", evicted, dead)
	}
}

func mustRegister(t *testing.T, q queue.TicketQueue) queue.Ticket {
	t.Helper()
	ticket, err := q.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

func mustRelease(t *testing.T, q queue.TicketQueue, ticket queue.Ticket) {
	t.Helper()
	if err := queue.Release(context.WithoutCancel(t.Context()), q, ticket); err != nil {
		t.Fatal(err)
	}
}

func listMembers(t *testing.T, q queue.TicketQueue) []queue.Member {
	t.Helper()
	list, err := queue.Members(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return list
}
