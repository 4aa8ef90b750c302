package peer

import (
	"context"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// flockLocker waits inside flock(2), on a file that stays open: the least that
// a lock in files can cost. ctx cannot end the wait, and every waiter occupies
// a thread.
type flockLocker struct{ file *os.File }

// Lock implements [Locker].
func (l flockLocker) Lock(context.Context) error { return l.flock(unix.LOCK_EX) }

// Unlock implements [Locker].
func (l flockLocker) Unlock() error { return l.flock(unix.LOCK_UN) }

func (l flockLocker) flock(how int) error {
	for {
		if err := unix.Flock(int(l.file.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}

func openFlock(_ context.Context, site Site, o Options) (*Lock, error) {
	l := &Lock{}
	l.newWaiter = func(context.Context) (Locker, error) {
		file, err := os.OpenFile(filepath.Join(site.Dir, o.Name+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		l.onClose(file.Close)
		return flockLocker{file}, nil
	}
	return l, nil
}
