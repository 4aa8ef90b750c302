package peer

import (
	"context"
	"time"

	"github.com/bsm/redislock"
)

// redislockLocker is github.com/bsm/redislock for one goroutine.
type redislockLocker struct {
	client *redislock.Client
	name   string
	lease  time.Duration
	poll   time.Duration
	held   *redislock.Lock
}

// Lock implements [Locker]. redislock gives up after one lease unless ctx has
// a deadline of its own.
func (l *redislockLocker) Lock(ctx context.Context) (err error) {
	l.held, err = l.client.Obtain(ctx, l.name, l.lease, &redislock.Options{RetryStrategy: redislock.LinearBackoff(l.poll)})
	return err
}

// Unlock implements [Locker].
func (l *redislockLocker) Unlock() error { return l.held.Release(context.Background()) }

func openRedislock(poll time.Duration) func(context.Context, Site, Options) (*Lock, error) {
	return func(_ context.Context, site Site, o Options) (*Lock, error) {
		l := &Lock{}
		client := redislock.New(l.redisClient(site))
		l.newWaiter = func(context.Context) (Locker, error) {
			return &redislockLocker{client: client, name: o.Name, lease: o.Lease, poll: poll}, nil
		}
		return l, nil
	}
}
