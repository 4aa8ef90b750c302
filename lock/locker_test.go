package lock_test

import (
	"context"
	"sync"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
)

type lockUnlocker interface {
	Lock(ctx context.Context) error
	Unlock() error
}

// locker is what the suite checks: a Mutex, or a Semaphore that one can hold.
type locker interface {
	lockUnlocker
	TryLock(ctx context.Context) (bool, error)
	Do(ctx context.Context, f func(context.Context) error) error
	Token() int64
	Lost() <-chan struct{}
	line() queue.TicketQueue
}

// newLocker makes lockers on one queue.
type newLocker func(...lock.Option) locker

// onMutex is a Mutex.
type onMutex struct {
	*lock.Mutex
	q queue.TicketQueue
}

func (m onMutex) line() queue.TicketQueue { return m.q }

func mutexes(newQueue func() queue.TicketQueue) newLocker {
	return func(opts ...lock.Option) locker {
		q := newQueue()
		return onMutex{lock.New(q, opts...), q}
	}
}

// onSemaphore is a Semaphore of 1, used as a Mutex: Unlock releases the earliest
// hold, and if there is none, the one that was released last once more.
type onSemaphore struct {
	*lock.Semaphore
	q queue.TicketQueue

	mu    sync.Mutex
	holds []*lock.Hold
	last  *lock.Hold // that was released; nil if none was
}

func semaphoresOfOne(newQueue func() queue.TicketQueue) newLocker {
	return func(opts ...lock.Option) locker {
		q := newQueue()
		return &onSemaphore{Semaphore: lock.NewSemaphore(q, 1, opts...), q: q}
	}
}

func (s *onSemaphore) line() queue.TicketQueue { return s.q }

func (s *onSemaphore) Lock(ctx context.Context) error {
	h, err := s.Acquire(ctx)
	if err == nil {
		s.put(h)
	}
	return err
}

func (s *onSemaphore) TryLock(ctx context.Context) (bool, error) {
	h, ok, err := s.TryAcquire(ctx)
	if ok {
		s.put(h)
	}
	return ok, err
}

func (s *onSemaphore) put(h *lock.Hold) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds = append(s.holds, h)
}

// take removes the earliest hold, if there is one, and returns the latest that was removed.
func (s *onSemaphore) take() *lock.Hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.holds) > 0 {
		s.last, s.holds = s.holds[0], s.holds[1:]
	}
	return s.last
}

func (s *onSemaphore) Unlock() error { return s.take().Release() }

func (s *onSemaphore) Do(ctx context.Context, f func(context.Context) error) error {
	return s.Semaphore.Do(ctx, func(ctx context.Context, h *lock.Hold) error {
		s.put(h)
		defer s.take() // Do releases it
		return f(ctx)
	})
}

// latest returns the hold that began last.
func (s *onSemaphore) latest() *lock.Hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.holds) == 0 {
		return nil
	}
	return s.holds[len(s.holds)-1]
}

func (s *onSemaphore) Token() int64 {
	if h := s.latest(); h != nil {
		return h.Token()
	}
	return 0
}

func (s *onSemaphore) Lost() <-chan struct{} {
	if h := s.latest(); h != nil {
		return h.Lost()
	}
	return nil
}
