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

// full is a queue with all optional interfaces, as those of fifolock are.
type full interface {
	queue.TicketQueue
	queue.TryRegisterer
	queue.Releaser
	queue.Refresher
	queue.Watcher
	queue.Positioner
}

// arriving is a queue of fifolock with one addition: when Register returns, the
// call that it was for has arrived. All optional interfaces stay.
type arriving struct {
	full
	asked *Lock // counts what a waiter asks the queue; nil where a server's client counts
}

func (q arriving) Register(ctx context.Context) (queue.Ticket, error) {
	defer arrived(ctx)
	return q.full.Register(ctx)
}

func (q arriving) Position(ctx context.Context, t queue.Ticket) (queue.Place, error) {
	q.count()
	return q.full.Position(ctx, t)
}

func (q arriving) Refresh(ctx context.Context, t queue.Ticket) error {
	q.count()
	return q.full.Refresh(ctx, t)
}

func (q arriving) count() {
	if q.asked != nil {
		q.asked.operations.Add(1)
	}
}

func openFifolockFile(_ context.Context, site Site, o Options) (*Lock, error) {
	l := &Lock{}
	return openFifolock(l, o, func(name string) arriving {
		return arriving{filequeue.New(filepath.Join(site.Dir, name)), l}
	})
}

// openFifolockRedis opens a queue in Redis with more options than the lease.
func openFifolockRedis(more ...redisqueue.Option) func(context.Context, Site, Options) (*Lock, error) {
	return func(_ context.Context, site Site, o Options) (*Lock, error) {
		l := &Lock{}
		client := l.redisClient(site)
		options := more
		if o.Lease > 0 {
			options = append([]redisqueue.Option{redisqueue.WithLease(o.Lease)}, more...)
		}
		return openFifolock(l, o, func(name string) arriving {
			return arriving{redisqueue.New(client, name, options...), nil}
		})
	}
}

func openFifolockMemory(_ context.Context, _ Site, o Options) (*Lock, error) {
	return openFifolock(&Lock{}, o, func(string) arriving { return arriving{memqueue.New(), nil} })
}

// openFifolock makes l a Mutex on the queue of that name, shared by all
// goroutines, as a program would.
func openFifolock(l *Lock, o Options, newQueue func(name string) arriving) (*Lock, error) {
	l.shared(lock.New(newQueue(o.Name)))
	l.another = func(name string) *Lock {
		another := &Lock{}
		another.shared(lock.New(newQueue(name)))
		return another
	}
	return l, nil
}
