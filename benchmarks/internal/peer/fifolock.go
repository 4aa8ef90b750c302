package peer

import (
	"context"
	"path/filepath"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
	"github.com/fifolock/fifolock/queue/memqueue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// The three queues with one addition: when Register returns, the call that it
// was for has arrived. All their optional interfaces stay.
type (
	fileQueue struct {
		*filequeue.Queue
		lock *Lock // counts what a waiter asks the queue; a server's clients count themselves
	}
	redisQueue  struct{ *redisqueue.Queue }
	memoryQueue struct{ *memqueue.Queue }
)

func (q fileQueue) Register(ctx context.Context) (queue.Ticket, error) {
	defer arrived(ctx)
	return q.Queue.Register(ctx)
}

func (q fileQueue) Position(ctx context.Context, t queue.Ticket) (queue.Place, error) {
	q.lock.operations.Add(1)
	return q.Queue.Position(ctx, t)
}

func (q fileQueue) Refresh(ctx context.Context, t queue.Ticket) error {
	q.lock.operations.Add(1)
	return q.Queue.Refresh(ctx, t)
}

func (q redisQueue) Register(ctx context.Context) (queue.Ticket, error) {
	defer arrived(ctx)
	return q.Queue.Register(ctx)
}

func (q memoryQueue) Register(ctx context.Context) (queue.Ticket, error) {
	defer arrived(ctx)
	return q.Queue.Register(ctx)
}

func openFifolockFile(_ context.Context, site Site, o Options) (*Lock, error) {
	l := &Lock{}
	return openFifolock(l, o, func(name string) queue.TicketQueue {
		return fileQueue{filequeue.New(filepath.Join(site.Dir, name)), l}
	})
}

func openFifolockRedis(_ context.Context, site Site, o Options) (*Lock, error) {
	l := &Lock{}
	client := l.redisClient(site)
	var options []redisqueue.Option
	if o.Lease > 0 {
		options = append(options, redisqueue.WithLease(o.Lease))
	}
	return openFifolock(l, o, func(name string) queue.TicketQueue {
		return redisQueue{redisqueue.New(client, name, options...)}
	})
}

func openFifolockMemory(_ context.Context, _ Site, o Options) (*Lock, error) {
	return openFifolock(&Lock{}, o, func(string) queue.TicketQueue {
		return memoryQueue{memqueue.New()}
	})
}

// openFifolock makes l a Mutex on the queue of that name, shared by all
// goroutines, as a program would.
func openFifolock(l *Lock, o Options, newQueue func(name string) queue.TicketQueue) (*Lock, error) {
	l.shared(lock.New(newQueue(o.Name)))
	l.another = func(name string) *Lock {
		another := &Lock{}
		another.shared(lock.New(newQueue(name)))
		return another
	}
	return l, nil
}
