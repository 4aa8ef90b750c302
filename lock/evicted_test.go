package lock_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
)

// evictions returns an option with a hook that tells which tickets it was called for.
func evictions() (lock.Option, <-chan queue.Ticket) {
	evicted := make(chan queue.Ticket, 10)
	return lock.WithTrace(&lock.Trace{Evicted: func(t queue.Ticket) { evicted <- t }}), evicted
}

func wantEvicted(t *testing.T, evicted <-chan queue.Ticket, dead queue.Ticket) {
	t.Helper()
	synctest.Wait()
	if len(evicted) != 1 {
		t.Fatalf("the hook was called %d times, want once", len(evicted))
	}
	if got := <-evicted; got.Number != dead.Number || got.Member != dead.Member {
		t.Errorf("told of %v, want %v", got, dead)
	}
}

func mustRegister(t *testing.T, q queue.TicketQueue) queue.Ticket {
	t.Helper()
	ticket, err := q.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

// Of two that wait behind a dead holder, one evicts it, and is told.
func TestEvictedWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := leased(lease)
		dead := mustRegister(t, q)
		tell, evicted := evictions()
		done := make(chan error)
		for range 2 {
			m := lock.New(q, tell)
			go func() {
				err := m.Lock(t.Context())
				if err == nil {
					err = m.Unlock()
				}
				done <- err
			}()
		}
		time.Sleep(lease / 2)
		if len(evicted) > 0 {
			t.Fatalf("evicted %v, whose lease has not ended", <-evicted)
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		wantEvicted(t, evicted, dead)
	})
}

// Lock and TryLock that find nothing but the dead are told as well. The hook
// needs no method that a queue need not have.
func TestEvictedOnArrival(t *testing.T) {
	for what, acquire := range map[string]func(*testing.T, *lock.Mutex){
		"Lock": func(t *testing.T, m *lock.Mutex) { mustLock(t, m) },
		"TryLock": func(t *testing.T, m *lock.Mutex) {
			if ok, err := m.TryLock(t.Context()); !ok || err != nil {
				t.Errorf("TryLock = %v, %v", ok, err)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := leased(lease)
				dead := mustRegister(t, q)
				time.Sleep(lease)
				tell, evicted := evictions()
				m := lock.New(refreshing{q, q}, tell)
				acquire(t, m)
				wantEvicted(t, evicted, dead)
				mustUnlock(t, m)
			})
		})
	}
}

// A TryLock that finds a living one behind the dead tells of these, and of nothing else.
func TestEvictedByATryInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := leased(lease)
		dead := mustRegister(t, q)
		time.Sleep(lease / 2)
		mustRegister(t, q)
		time.Sleep(lease / 2)
		tell, evicted := evictions()
		m := lock.New(q, tell, lock.WithTrace(&lock.Trace{
			Registered: func(queue.Ticket) { t.Error("Registered was called") },
			Failed:     func(queue.Ticket, time.Duration, error) { t.Error("Failed was called") },
		}))
		if ok, err := m.TryLock(t.Context()); ok || err != nil {
			t.Errorf("TryLock = %v, %v, want false", ok, err)
		}
		wantEvicted(t, evicted, dead)
	})
}

// The hook may call back into the Mutex, also into what it waits for.
func TestEvictedMayUseTheMutex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := leased(lease)
		mustRegister(t, q)
		time.Sleep(lease)
		var m *lock.Mutex
		again := make(chan error)
		m = lock.New(q, lock.WithTrace(&lock.Trace{Evicted: func(queue.Ticket) {
			err := m.Lock(t.Context())
			if err == nil {
				err = m.Unlock()
			}
			again <- err
		}}))
		mustLock(t, m)
		mustUnlock(t, m)
		if err := <-again; err != nil {
			t.Error(err)
		}
	})
}

// A heartbeat and an Unlock look at the line, too, on a queue that does so.
func TestEvictedByHeartbeatAndUnlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tell, evicted := evictions()
		one := queue.Ticket{Number: 1, Member: "one"}
		q := newFaulty(leased(lease))
		m := lock.New(q, tell)
		mustLock(t, m)
		q.failBefore(evicting("Refresh", one))
		time.Sleep(lease/3 + time.Second)
		wantEvicted(t, evicted, one)
		q.failBefore(evicting("Release", one))
		mustUnlock(t, m)
		wantEvicted(t, evicted, one)
	})
}

// evicting has the named method tell that it has evicted t.
func evicting(method string, t queue.Ticket) func(context.Context, string) error {
	return func(ctx context.Context, called string) error {
		if called == method {
			queue.Evicted(ctx, []queue.Ticket{t})
		}
		return nil
	}
}

// A waiter that has lost its place in an outage keeps on for a place until the outage has
// lasted for a lease, as it would have kept the place.
func TestEvictedWaiterRegistersThroughAnOutage(t *testing.T) {
	for name, outage := range map[string]time.Duration{"shorter than a lease": lease / 2, "longer than a lease": 3 * lease} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newFaulty(leased(lease))
				head := mustRegister(t, q)
				m := lock.New(q)
				done := make(chan error, 1)
				go func() { done <- m.Lock(t.Context()) }()
				synctest.Wait()
				members, err := q.Members(t.Context())
				if err != nil || len(members) != 2 {
					t.Fatalf("Members returned %v, %v", members, err)
				}
				q.failBefore(down("Register", "Position", "IsHead"))
				for _, lost := range []queue.Ticket{members[1].Ticket, head} {
					if err := q.Queue.Remove(t.Context(), lost); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(outage)
				q.failBefore(func(context.Context, string) error { return nil })
				err = <-done
				if outage > lease {
					if !errors.Is(err, errDown) {
						t.Errorf("Lock returned %v after an outage of %v", err, outage)
					}
					return
				}
				if err != nil {
					t.Fatalf("Lock returned %v after an outage of %v", err, outage)
				}
				mustUnlock(t, m)
			})
		})
	}
}

// A waiter whose heartbeats get no answer is told that, and not that the queue has said
// anything.
func TestWaiterIsToldWhyItsTicketWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		mustRegister(t, q)
		failed := make(chan error, 10)
		m := lock.New(q, lock.WithTrace(&lock.Trace{
			Failed: func(_ queue.Ticket, _ time.Duration, err error) { failed <- err },
		}))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Lock(ctx) }()
		synctest.Wait()
		q.failBefore(down("Refresh", "Position", "IsHead", "Register"))
		err := <-failed
		if !errors.Is(err, queue.ErrNotQueued) || !errors.Is(err, errDown) || !strings.Contains(err.Error(), "ran out before a heartbeat was answered") {
			t.Errorf("Failed was told %v, want that the lease ran out, and why", err)
		}
		cancel()
		<-done
	})
}

// Between two tickets a call still knows what it has waited for.
func TestBusyBetweenTwoTickets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := leased(0)
		mustRegister(t, q)
		every := lock.WithBackOff(func() backoff.BackOff { return backoff.NewConstantBackOff(400 * time.Millisecond) })
		m := lock.New(q, every, lock.WithMaxWait(600*time.Millisecond))
		time.AfterFunc(100*time.Millisecond, func() {
			members, err := q.Members(t.Context())
			if err != nil || len(members) != 2 {
				t.Errorf("Members returned %v, %v", members, err)
				return
			}
			if err := q.Remove(t.Context(), members[1].Ticket); err != nil {
				t.Error(err)
			}
		})
		if err := m.Lock(t.Context()); !errors.Is(err, lock.ErrBusy) || !strings.Contains(err.Error(), "with 1 ahead in line") {
			t.Errorf("Lock returned %v, want ErrBusy and 1 ahead", err)
		}
	})
}

// Nor is it busy if the ticket was lost because the queue does not answer.
func TestAwayBetweenTwoTickets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		mustRegister(t, q)
		seldom := lock.WithBackOff(func() backoff.BackOff { return backoff.NewConstantBackOff(4 * lease) })
		m := lock.New(q, seldom, lock.WithMaxWait(2*lease))
		done := make(chan error, 1)
		go func() { done <- m.Lock(t.Context()) }()
		synctest.Wait()
		q.failBefore(down("Refresh", "Position", "IsHead", "Release", "Register", "Members"))
		if err := <-done; errors.Is(err, lock.ErrBusy) || !errors.Is(err, errDown) || !strings.Contains(err.Error(), "did not answer") {
			t.Errorf("Lock returned %v, want that the queue did not answer", err)
		}
	})
}

// A call that has stepped back for a lost hold of its own Mutex takes a new ticket as one
// whose ticket was evicted does: for a lease it goes on when that fails.
func TestHeldBackRegistersThroughAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		m := lock.New(q)
		mustLock(t, m)
		done := make(chan error, 1)
		go func() { done <- m.Lock(t.Context()) }()
		synctest.Wait()
		line, err := q.Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Queue.Remove(t.Context(), line[0].Ticket); err != nil {
			t.Fatal(err)
		}
		<-m.Lost()
		time.Sleep(lease / 2) // the waiter owns, and has stepped back
		q.failBefore(down("Register"))
		if err := m.Unlock(); !errors.Is(err, lock.ErrLost) {
			t.Errorf("Unlock returned %v, want ErrLost", err)
		}
		time.Sleep(lease / 2)
		q.failBefore(down("nothing"))
		if err := <-done; err != nil {
			t.Fatalf("Lock returned %v", err)
		}
		mustUnlock(t, m)
	})
}

// One that owns after an outage was answered: it waits for the earlier hold of its Mutex.
func TestHeldBackAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		m := lock.New(q)
		mustLock(t, m)
		time.Sleep(lease / 2) // refreshed after a third
		ctx, cancel := context.WithTimeout(t.Context(), 6*lease)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- m.Lock(ctx) }()
		synctest.Wait()
		q.failBefore(down("Refresh", "Position", "Release"))
		<-m.Lost()
		time.Sleep(lease / 8)
		q.failBefore(down("nothing"))
		if err := <-done; !errors.Is(err, lock.ErrBusy) || !strings.Contains(err.Error(), "an earlier hold of this Mutex was lost") {
			t.Errorf("Lock returned %v, want ErrBusy: an earlier hold was lost", err)
		}
		if err := m.Unlock(); !errors.Is(err, lock.ErrLost) {
			t.Errorf("Unlock returned %v, want ErrLost", err)
		}
	})
}
