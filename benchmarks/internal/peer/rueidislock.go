package peer

import (
	"context"

	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"
)

// rueidislockLocker is github.com/redis/rueidis/rueidislock for one goroutine.
type rueidislockLocker struct {
	locker rueidislock.Locker
	name   string
	unlock context.CancelFunc
}

// Lock implements [Locker].
func (l *rueidislockLocker) Lock(ctx context.Context) (err error) {
	_, l.unlock, err = l.locker.WithContext(ctx, l.name)
	return err
}

// Unlock implements [Locker].
func (l *rueidislockLocker) Unlock() error {
	l.unlock()
	return nil
}

// openRueidislock uses one key instead of three, as the others do. NoLoopTracking is off
// by default; the example of its README turns it on, for Redis 7.0.5 and later.
func openRueidislock(noLoop bool) func(context.Context, Site, Options) (*Lock, error) {
	return func(_ context.Context, site Site, o Options) (*Lock, error) {
		return newRueidislock(site, o, noLoop)
	}
}

func newRueidislock(site Site, o Options, noLoop bool) (*Lock, error) {
	l := &Lock{}
	locker, err := rueidislock.NewLocker(rueidislock.LockerOption{
		ClientOption:   rueidis.ClientOption{InitAddress: []string{site.Redis}},
		KeyMajority:    1,
		NoLoopTracking: noLoop,
		KeyValidity:    o.Lease,
		ClientBuilder: func(option rueidis.ClientOption) (rueidis.Client, error) {
			client, err := rueidis.NewClient(option)
			return countingRueidis{client, l}, err
		},
	})
	if err != nil {
		return nil, err
	}
	l.onClose(func() error { locker.Close(); return nil })
	of := func(name string) func(context.Context) (Locker, error) {
		return func(context.Context) (Locker, error) { return &rueidislockLocker{locker: locker, name: name}, nil }
	}
	l.newWaiter = of(o.Name)
	l.another = func(name string) *Lock { return &Lock{newWaiter: of(name)} }
	return l, nil
}

// countingRueidis counts what is sent, and notes arrivals. rueidislock sends
// everything with Do.
type countingRueidis struct {
	rueidis.Client
	lock *Lock
}

// Do implements [rueidis.Client].
func (c countingRueidis) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	c.lock.operations.Add(1)
	result := c.Client.Do(ctx, cmd)
	if err := result.Error(); err == nil || rueidis.IsRedisNil(err) { // not a script that must be sent again in full
		arrived(ctx)
	}
	return result
}
