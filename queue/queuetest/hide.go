package queuetest

import (
	"context"

	"github.com/fifolock/fifolock/queue"
)

// Bare hides every method of q but the six that a queue must have. It acts
// as a wrapper that knows of nothing else.
func Bare(q queue.TicketQueue) queue.TicketQueue {
	return struct{ queue.TicketQueue }{q}
}

// The methods of the optional interfaces, without the six.
type (
	tryRegister interface {
		TryRegister(ctx context.Context) (queue.Ticket, bool, error)
	}
	release interface {
		Release(ctx context.Context, t queue.Ticket) error
	}
	refresh interface {
		Refresh(ctx context.Context, t queue.Ticket) error
	}
	watch interface {
		Watch(ctx context.Context, t queue.Ticket) (<-chan queue.Wake, func(), error)
	}
	position interface {
		Position(ctx context.Context, t queue.Ticket) (queue.Place, error)
	}
	members interface {
		Members(ctx context.Context) ([]queue.Member, error)
	}
)

// every is a queue with all optional interfaces but Sharer.
type every interface {
	queue.TicketQueue
	tryRegister
	release
	refresh
	watch
	position
	members
}

// Hidden is q behind wrappers each of which passes on all optional interfaces but
// the one that it is named after. Sharer is never passed on. A queue that does
// not implement them all has none but "all", which hides them all.
func Hidden(q queue.TicketQueue) map[string]queue.TicketQueue {
	hidden := map[string]queue.TicketQueue{"all": Bare(q)}
	e, ok := q.(every)
	if !ok {
		return hidden
	}
	hidden["Sharer"] = struct{ every }{e}
	hidden["TryRegisterer"] = struct {
		queue.TicketQueue
		release
		refresh
		watch
		position
		members
	}{e, e, e, e, e, e}
	hidden["Releaser"] = struct {
		queue.TicketQueue
		tryRegister
		refresh
		watch
		position
		members
	}{e, e, e, e, e, e}
	hidden["Refresher"] = struct {
		queue.TicketQueue
		tryRegister
		release
		watch
		position
		members
	}{e, e, e, e, e, e}
	hidden["Watcher"] = struct {
		queue.TicketQueue
		tryRegister
		release
		refresh
		position
		members
	}{e, e, e, e, e, e}
	hidden["Positioner"] = struct {
		queue.TicketQueue
		tryRegister
		release
		refresh
		watch
		members
	}{e, e, e, e, e, e}
	hidden["Lister"] = struct {
		queue.TicketQueue
		tryRegister
		release
		refresh
		watch
		position
	}{e, e, e, e, e, e}
	return hidden
}
