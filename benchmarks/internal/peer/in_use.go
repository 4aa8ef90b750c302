package peer

import (
	"context"
	"path/filepath"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
)

// inUse is one place in a line that others keep in use: taken and given up
// again, without waiting for the head.
type inUse struct {
	queue  *filequeue.Queue
	ticket queue.Ticket
}

// Lock implements [Locker].
func (u *inUse) Lock(ctx context.Context) (err error) {
	u.ticket, err = u.queue.Register(ctx)
	return err
}

// Unlock implements [Locker].
func (u *inUse) Unlock() error { return u.queue.Release(context.Background(), u.ticket) }

// openFifolockFileInUse measures a cycle of a file queue without creating and
// removing the directory, because another ticket is in line all the time.
func openFifolockFileInUse(ctx context.Context, site Site, o Options) (*Lock, error) {
	q := filequeue.New(filepath.Join(site.Dir, o.Name))
	other, err := q.Register(ctx)
	if err != nil {
		return nil, err
	}
	l := &Lock{}
	l.onClose(func() error { return q.Release(context.Background(), other) })
	l.shared(&inUse{queue: q})
	return l, nil
}
