//go:build linux

package faulttest

import (
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

// AwaitLine waits until so many are in line.
func AwaitLine(t *testing.T, q queue.TicketQueue, n int) {
	t.Helper()
	for {
		members, err := queue.Members(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(members) == n {
			return
		}
		time.Sleep(100 * time.Microsecond)
	}
}
