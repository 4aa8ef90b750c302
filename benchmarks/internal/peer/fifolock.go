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

// Share implements [queue.Sharer]: with a view in which calls arrive, too.
func (q arriving) Share(n int) queue.TicketQueue {
	return arriving{q.full.(queue.Sharer).Share(n).(full), q.asked}
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

// openFifolock makes l a Mutex on the queue of that name, or a Semaphore, shared
// by all goroutines, as a program would.
func openFifolock(l *Lock, o Options, newQueue func(name string) arriving) (*Lock, error) {
	if o.Holders > 0 {
		s := lock.NewSemaphore(newQueue(o.Name), o.Holders)
		l.newWaiter = func(context.Context) (Locker, error) { return &holder{semaphore: s}, nil }
		return l, nil
	}
	l.shared(lock.New(newQueue(o.Name)))
	l.another = func(name string) *Lock {
		another := &Lock{}
		another.shared(lock.New(newQueue(name)))
		return another
	}
	return l, nil
}

// holder is a Semaphore for one goroutine.
type holder struct {
	semaphore *lock.Semaphore
	hold      *lock.Hold
}

// Lock implements [Locker].
func (h *holder) Lock(ctx context.Context) (err error) {
	h.hold, err = h.semaphore.Acquire(ctx)
	return err
}

// Unlock implements [Locker].
func (h *holder) Unlock() error { return h.hold.Release() }
