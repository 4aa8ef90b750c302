package peer

import (
	"context"
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

// Lock implements [Locker].
func (l gofrsLocker) Lock(ctx context.Context) error {
	if l.poll == 0 {
		return l.flock.Lock()
	}
	_, err := l.flock.TryLockContext(ctx, l.poll)
	return err
}

// Unlock implements [Locker].
func (l gofrsLocker) Unlock() error { return l.flock.Unlock() }

func openGofrsFlock(poll time.Duration) func(context.Context, Site, Options) (*Lock, error) {
	return func(_ context.Context, site Site, o Options) (*Lock, error) {
		l := &Lock{}
		path := filepath.Join(site.Dir, o.Name+".lock")
		l.newWaiter = func(context.Context) (Locker, error) {
			f := flock.New(path) // between goroutines, one value is no lock
			l.onClose(f.Close)
			return gofrsLocker{f, poll}, nil
		}
		return l, nil
	}
}
