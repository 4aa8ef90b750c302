package peer

import (
	"context"
	"math/rand/v2"
	"time"
)

// tryLocker is a lock that can be tried.
type tryLocker interface {
	TryLock(ctx context.Context) (ok bool, err error)
	Unlock() error
}

// slots is the semaphore that is made of locks where a library has none: a lock
// for each holder, tried one after the other from a random one on, and again
// after a pause.
type slots struct {
	locks []tryLocker
	pause time.Duration
	held  tryLocker
}

func newSlots(n int, pause time.Duration, newLock func(i int) tryLocker) *slots {
	s := &slots{pause: pause}
	for i := range n {
		s.locks = append(s.locks, newLock(i))
	}
	return s
}

// Lock implements [Locker].
func (s *slots) Lock(ctx context.Context) error {
	for {
		first := rand.IntN(len(s.locks))
		for i := range s.locks {
			lock := s.locks[(first+i)%len(s.locks)]
			if ok, err := lock.TryLock(ctx); err != nil {
				return err
			} else if ok {
				s.held = lock
				return nil
			}
		}
		select {
		case <-time.After(s.pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Unlock implements [Locker].
func (s *slots) Unlock() error { return s.held.Unlock() }
