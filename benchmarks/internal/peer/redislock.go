package peer

import (
	"context"
	"errors"
	"fmt"
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

// TryLock implements [tryLocker].
func (l *redislockLocker) TryLock(ctx context.Context) (ok bool, err error) {
	l.held, err = l.client.Obtain(ctx, l.name, l.lease, nil)
	if errors.Is(err, redislock.ErrNotObtained) {
		return false, nil
	}
	return err == nil, err
}

// Unlock implements [Locker].
func (l *redislockLocker) Unlock() error { return l.held.Release(context.Background()) }

// openRedislock opens redislock, which has no default for the lease.
func openRedislock(poll time.Duration) func(context.Context, Site, Options) (*Lock, error) {
	return func(_ context.Context, site Site, o Options) (*Lock, error) {
		if o.Lease == 0 {
			return nil, errors.New("redislock has no default lease")
		}
		l := &Lock{}
		client := redislock.New(l.redisClient(site))
		of := func(name string) *redislockLocker {
			return &redislockLocker{client: client, name: name, lease: o.Lease, poll: poll}
		}
		l.newWaiter = func(context.Context) (Locker, error) {
			if o.Holders == 0 {
				return of(o.Name), nil
			}
			return newSlots(o.Holders, poll, func(i int) tryLocker { return of(fmt.Sprintf("%s-%d", o.Name, i)) }), nil
		}
		l.another = func(name string) *Lock {
			return &Lock{newWaiter: func(context.Context) (Locker, error) { return of(name), nil }}
		}
		return l, nil
	}
}
