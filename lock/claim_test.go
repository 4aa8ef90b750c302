package lock_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/memqueue"
	"github.com/fifolock/fifolock/queue/queuetest"
)

// Whatever a wrapper hides, a lock on it is safe for three leases, or refuses.
func TestHiddenMethodsAreSafe(t *testing.T) {
	for name := range queuetest.Hidden(memqueue.New()) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := leased(lease)
				q := queuetest.Hidden(inner)[name]
				m, other := lock.New(q), lock.New(inner)
				err := m.Lock(t.Context())
				if name == "Refresher" || name == "all" {
					if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "Refresh") {
						t.Errorf("Lock returned %v, want an error that names the method Refresh", err)
					}
					if ok, err := m.TryLock(t.Context()); ok || !errors.Is(err, errors.ErrUnsupported) {
						t.Errorf("TryLock returned %v, %v", ok, err)
					}
					if n := inLine(t, inner); n > 0 {
						t.Errorf("%d tickets are left in line", n)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				lost := m.Lost()
				go func() {
					time.Sleep(3 * lease)
					if isClosed(lost) {
						t.Error("lost while it was alive")
					}
					mustUnlock(t, m)
				}()
				began := time.Now()
				mustLock(t, other)
				if held := time.Since(began); held < 3*lease {
					t.Errorf("another one has it after %v", held)
				}
				mustUnlock(t, other)
			})
		})
	}
}

// A queue that was closed never answers again: a waiter is told at once, whatever
// its lease.
func TestK13AClosedQueueEndsAWait(t *testing.T) {
	for _, method := range []string{"Register", "Watch", "Position", "Refresh"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newFaulty(leased(lease))
				before := mustRegister(t, q.Queue)
				q.failBefore(func(_ context.Context, called string) error {
					if called == "Position" && method == "Refresh" {
						return errDown
					}
					if called == method {
						return queue.ErrClosed
					}
					return nil
				})
				began := time.Now()
				err := lock.New(q).Lock(t.Context())
				if took := time.Since(began); !errors.Is(err, queue.ErrClosed) || took > lease/2 {
					t.Errorf("Lock returned %v after %v, want ErrClosed", err, took)
				}
				if err := q.Queue.Remove(t.Context(), before); err != nil {
					t.Fatal(err)
				}
				if n := inLine(t, q); n > 0 {
					t.Errorf("%d tickets are left in line", n)
				}
			})
		})
	}
}

// The holder of a queue that was closed has its lease.
func TestAClosedQueueIsNoLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		m := lock.New(q)
		mustLock(t, m)
		q.failBefore(func(context.Context, string) error { return queue.ErrClosed })
		time.Sleep(lease / 2)
		if isClosed(m.Lost()) {
			t.Error("lost before its lease has ended")
		}
		<-m.Lost()
		if err := m.Unlock(); !errors.Is(err, lock.ErrLost) {
			t.Errorf("Unlock returned %v, want ErrLost", err)
		}
	})
}

// A hold is lost and its goroutine is busy. Another goroutine of the Mutex that
// calls Lock holds up no other Mutex.
func TestK07ALostHoldHoldsUpItsOwnMutexOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := leased(lease)
		option, tickets := registration()
		m, other := lock.New(q, option), lock.New(q)
		mustLock(t, m)
		first := <-tickets
		evict(t, q, first)
		served := make(chan error, 1)
		go func() { served <- m.Lock(t.Context()) }()
		<-tickets
		synctest.Wait()
		began := time.Now()
		mustLock(t, other)
		if took := time.Since(began); took > 0 {
			t.Errorf("another Mutex has waited %v for the loser", took)
		}
		if !isClosed(m.Lost()) {
			t.Error("the loser was not told, though another ticket of its Mutex came to own")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		mustUnlock(t, other)
		const why = "lock: memory queue: context deadline exceeded after 1s: an earlier hold of this Mutex was lost and is not unlocked yet"
		if err := m.Lock(ctx); !errors.Is(err, context.DeadlineExceeded) || err.Error() != why {
			t.Errorf("Lock returned %v, want %q", err, why)
		}
		if ok, err := m.TryLock(t.Context()); ok || err != nil {
			t.Errorf("TryLock returned %v, %v", ok, err)
		}
		if len(served) > 0 {
			t.Fatalf("Lock returned %v before the loser's Unlock", <-served)
		}
		if n := inLine(t, q); n > 0 {
			t.Errorf("%d are in line, want none as long as the loser holds them up", n)
		}
		if err := m.Unlock(); !errors.Is(err, lock.ErrLost) {
			t.Errorf("Unlock returned %v, want ErrLost", err)
		}
		if err := <-served; err != nil {
			t.Fatal(err)
		}
		mustUnlock(t, m)
	})
}

// Two heartbeats are under way and the older one is answered last.
func TestAnOlderHeartbeatShortensNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		m := lock.New(q)
		mustLock(t, m)
		began := time.Now()
		q.failAfter(func(_ context.Context, method string) error {
			switch {
			case method != "Refresh":
			case q.count("Refresh") == 1: // sent after a third of the lease, answered after the second
				time.Sleep(lease/3 + time.Second)
			case q.count("Refresh") > 2:
				return errDown
			}
			return nil
		})
		<-m.Lost()
		if held, want := time.Since(began), lease*2/3+lease*9/10; held != want {
			t.Errorf("lost %v after it was locked, want %v: two thirds of the lease, and what the second heartbeat gave", held, want)
		}
		_ = m.Unlock()
	})
}

// A lost hold that is unlocked leaves no ticket, also if the storage has it still.
func TestALostHoldLeavesNoTicket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		m := lock.New(q)
		mustLock(t, m)
		q.failBefore(down("Refresh"))
		<-m.Lost()
		if n := inLine(t, q); n != 1 {
			t.Fatalf("%d tickets in line, want the one that the queue believes in for longer", n)
		}
		if err := m.Unlock(); !errors.Is(err, lock.ErrLost) {
			t.Errorf("Unlock returned %v, want ErrLost", err)
		}
		if n := inLine(t, q); n > 0 {
			t.Errorf("%d tickets are left in line", n)
		}
	})
}

// Many that are cancelled at once do not wait for a queue that is slow to let them
// go.
func TestK22ManyAreCancelledAtOnce(t *testing.T) {
	testenv.Long(t)
	const waiters = 5000
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		m := lock.New(q)
		mustLock(t, m)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		for range waiters {
			go func() { done <- m.Lock(ctx) }()
		}
		time.Sleep(time.Second)
		q.failBefore(func(_ context.Context, method string) error {
			if method == "Release" || method == "stop" || method == "Members" {
				time.Sleep(3 * time.Second)
			}
			return nil
		})
		began := time.Now()
		cancel()
		for range waiters {
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("they returned after %v", took)
		}
		if n := q.count("Members"); n > 4 {
			t.Errorf("%d have listed the line at a time", n)
		}
		time.Sleep(10 * time.Second)
		q.failBefore(down("nothing"))
		if n := inLine(t, q); n != 1 {
			t.Errorf("%d are in line, want the holder", n)
		}
		mustUnlock(t, m)
	})
}
