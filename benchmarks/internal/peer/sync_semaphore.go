package peer

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// syncSemaphore is golang.org/x/sync/semaphore with a weight of one for each
// holder.
type syncSemaphore struct{ weighted *semaphore.Weighted }

// Lock implements [Locker].
func (s syncSemaphore) Lock(ctx context.Context) error { return s.weighted.Acquire(ctx, 1) }

// Unlock implements [Locker].
func (s syncSemaphore) Unlock() error {
	s.weighted.Release(1)
	return nil
}

func openSyncSemaphore(_ context.Context, _ Site, o Options) (*Lock, error) {
	l := &Lock{}
	l.shared(syncSemaphore{semaphore.NewWeighted(int64(max(o.Holders, 1)))})
	return l, nil
}
