package peer

import (
	"context"
	"math"
	"time"

	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
)

// redsyncLocker is github.com/go-redsync/redsync for one goroutine.
type redsyncLocker struct{ mutex *redsync.Mutex }

// Lock implements [Locker]. redsync does not tell a ctx that has ended from a
// lock that it did not get.
func (l redsyncLocker) Lock(ctx context.Context) error {
	err := l.mutex.LockContext(ctx)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Unlock implements [Locker].
func (l redsyncLocker) Unlock() error {
	_, err := l.mutex.Unlock()
	return err
}

// openRedsync opens redsync on one server. poll 0 is its default, a random
// time between 50 and 250 ms. Only the ctx ends the tries.
func openRedsync(poll time.Duration) func(context.Context, Site, Options) (*Lock, error) {
	return func(_ context.Context, site Site, o Options) (*Lock, error) {
		l := &Lock{}
		sync := redsync.New(goredis.NewPool(l.redisClient(site)))
		options := []redsync.Option{redsync.WithTries(math.MaxInt32)}
		if o.Lease > 0 {
			options = append(options, redsync.WithExpiry(o.Lease))
		}
		if poll > 0 {
			options = append(options, redsync.WithRetryDelay(poll))
		}
		of := func(name string) func(context.Context) (Locker, error) {
			return func(context.Context) (Locker, error) { return redsyncLocker{sync.NewMutex(name, options...)}, nil }
		}
		l.newWaiter = of(o.Name)
		l.another = func(name string) *Lock { return &Lock{newWaiter: of(name)} }
		return l, nil
	}
}
