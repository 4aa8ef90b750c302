package load

import (
	"context"
	"fmt"
	"time"

	"github.com/fifolock/fifolock/benchmarks/internal/clock"
	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

// Recover kills the process that holds a lock, and returns how long it took from then
// until the waiter in another process had it.
//
//  1. a worker takes the lock;
//  2. a goroutine of this process waits for it;
//  3. the worker is killed, and nothing of it runs any more;
//  4. the goroutine has the lock.
func Recover(ctx context.Context, p peer.Peer, site peer.Site, o peer.Options) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Lease+drainTimeout)
	defer cancel()
	w, err := startWorker(order{Job: hold, Peer: p.Name, Site: site, Options: o})
	if err != nil {
		return 0, err
	}
	defer w.kill()
	if err := w.ready(); err != nil {
		return 0, err
	}
	lock, err := p.Open(ctx, site, o)
	if err != nil {
		return 0, err
	}
	defer lock.Close()
	locker, err := lock.Waiter(ctx)
	if err != nil {
		return 0, err
	}
	one := &waiting{lock: lock, ctx: ctx, cancel: cancel}
	only := &waiter{locker: locker}
	one.waiters = []*waiter{only}
	one.wg.Go(func() { one.wait(only) })
	if err := one.awaitArrivals(one.waiters); err != nil {
		return 0, err
	}
	killed := clock.Now()
	w.kill()
	one.wg.Wait()
	if err := one.err(); err != nil {
		return 0, err
	}
	if only.sample.Acquired < killed {
		return 0, fmt.Errorf("two had the lock at once: the waiter got it before the holder was killed")
	}
	return time.Duration(only.sample.Acquired - killed), nil
}
