//go:build linux

package faulttest

import (
	"errors"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
)

// Mutex is a lock on the queue, in the test's own process.
func Mutex(t *testing.T, spec harness.Spec, opts ...lock.Option) (*lock.Mutex, queue.TicketQueue) {
	t.Helper()
	q, closeQueue := spec.Open()
	t.Cleanup(closeQueue)
	return lock.New(q, opts...), q
}

// MustLock locks m.
func MustLock(t *testing.T, m *lock.Mutex) {
	t.Helper()
	if err := m.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// MustUnlock unlocks m.
func MustUnlock(t *testing.T, m *lock.Mutex) {
	t.Helper()
	if err := m.Unlock(); err != nil {
		t.Fatal(err)
	}
}

// MutexUnlocked unlocks m, and reports whether its hold was kept until then.
func MutexUnlocked(t *testing.T, m *lock.Mutex) (kept bool) {
	t.Helper()
	err := m.Unlock()
	if err != nil && !errors.Is(err, lock.ErrLost) {
		t.Error(err)
	}
	return err == nil
}

// AwaitEmpty waits until no ticket is in line any more.
func AwaitEmpty(t *testing.T, q queue.TicketQueue) {
	t.Helper()
	for {
		empty, err := q.IsEmpty(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if empty {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// AwaitLine waits until so many are in line. Where a lease may run out, [AwaitLineBehind]
// does not wait for ever.
func AwaitLine(t *testing.T, q queue.TicketQueue, n int) {
	t.Helper()
	for !isLine(t, q, n) {
		time.Sleep(100 * time.Microsecond)
	}
}

// AwaitLineBehind is AwaitLine, of a line that m is in as its owner. It reports false if m
// is lost before: a waiter takes another ticket, and m does not.
func AwaitLineBehind(t *testing.T, m *lock.Mutex, q queue.TicketQueue, n int) (kept bool) {
	t.Helper()
	for lost := m.Lost(); !isLine(t, q, n); {
		select {
		case <-lost:
			return false
		case <-time.After(100 * time.Microsecond):
		}
	}
	return true
}

func isLine(t *testing.T, q queue.TicketQueue, n int) bool {
	t.Helper()
	members, err := queue.Members(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return len(members) == n
}
