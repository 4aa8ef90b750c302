package filequeue

import (
	"errors"
	"syscall"

	"github.com/gofrs/flock"
)

// flockAttempts is how often a call on a flock is made that fails without a
// reason to be found in the file: a network file system may have been
// interrupted by a signal.
const flockAttempts = 5

// tryFlock is lock.TryLock, which does not try again when it is interrupted.
func tryFlock(lock *flock.Flock) (locked bool, err error) {
	for range flockAttempts {
		if locked, err = lock.TryLock(); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	return locked, err
}

// dropFlock is lock.Unlock, which leaves the file open, and thus locked until
// the garbage is collected, when the system call fails.
func dropFlock(lock *flock.Flock) {
	for range flockAttempts {
		if lock.Unlock() == nil {
			return
		}
	}
}
