package lock

import (
	"context"
	"sync"
)

// Locker returns a [sync.Locker] of m, for code that needs one, such as
// [sync.Cond]. Its Lock waits without limit, unless
// [WithMaxWait] sets one. Both methods panic with the error
// that Lock or Unlock of m returned, ErrLost included: there is no caller to
// return it to, and going on as if nothing had happened would be worse.
func (m *Mutex) Locker() sync.Locker { return locker{m} }

type locker struct{ mutex *Mutex }

func (l locker) Lock() {
	if err := l.mutex.Lock(context.Background()); err != nil {
		panic(err)
	}
}

func (l locker) Unlock() {
	if err := l.mutex.Unlock(); err != nil {
		panic(err)
	}
}
