package peer

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// gofrsLocker is github.com/gofrs/flock for one goroutine. poll 0 waits inside
// flock(2), which ctx cannot end.
type gofrsLocker struct {
	flock *flock.Flock
	poll  time.Duration
}

// Lock implements [Locker]. Where it polls it does what TryLockContext does, which has no
// place to note an arrival in.
func (l gofrsLocker) Lock(ctx context.Context) error {
	if l.poll == 0 {
		return l.flock.Lock()
	}
	for {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if ok, err := l.TryLock(ctx); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(l.poll):
		}
	}
}

// TryLock implements [tryLocker].
func (l gofrsLocker) TryLock(ctx context.Context) (bool, error) {
	defer arrived(ctx)
	return l.flock.TryLock()
}

// Unlock implements [Locker].
func (l gofrsLocker) Unlock() error { return l.flock.Unlock() }

func openGofrsFlock(poll time.Duration) func(context.Context, Site, Options) (*Lock, error) {
	return func(_ context.Context, site Site, o Options) (*Lock, error) {
		l := &Lock{}
		of := func(name string) gofrsLocker {
			f := flock.New(filepath.Join(site.Dir, name+".lock")) // between goroutines, one value is no lock
			l.onClose(f.Close)
			return gofrsLocker{f, poll}
		}
		l.newWaiter = func(context.Context) (Locker, error) {
			if o.Holders == 0 {
				return of(o.Name), nil
			}
			return newSlots(o.Holders, poll, func(i int) tryLocker { return of(fmt.Sprintf("%s-%d", o.Name, i)) }), nil
		}
		return l, nil
	}
}
