package lock_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/memqueue"
	"github.com/fifolock/fifolock/queue/queuetest"
)

const lease = 30 * time.Second

var errDown = errors.New("the backend is down")

// down fails the named methods, or all of them if none is named.
func down(methods ...string) func(context.Context, string) error {
	return func(_ context.Context, method string) error {
		if len(methods) == 0 {
			return errDown
		}
		for _, m := range methods {
			if m == method {
				return errDown
			}
		}
		return nil
	}
}

// hang blocks the named method until free is closed, whatever its ctx says.
func hang(method string, free <-chan struct{}) func(context.Context, string) error {
	return func(_ context.Context, called string) error {
		if called == method {
			<-free
		}
		return nil
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// inLine returns how many are in q.
func inLine(t *testing.T, q queue.TicketQueue) int {
	t.Helper()
	members, err := queue.Members(t.Context(), q)
	if err != nil {
		t.Fatalf("Members: %v", err)
	}
	return len(members)
}

func TestWaiterKeepsItsPlaceForManyLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := leased(lease)
		option, tickets := registration()
		holder, waiter := lock.New(q), lock.New(q, option)
		mustLock(t, holder)
		lost := holder.Lost()
		go func() {
			time.Sleep(20 * lease)
			mustUnlock(t, holder)
		}()
		mustLock(t, waiter)
		if first := <-tickets; waiter.Token() != first.Number || len(tickets) > 0 {
			t.Errorf("served with ticket %d, registered with %d", waiter.Token(), first.Number)
		}
		if isClosed(lost) {
			t.Error("a holder that was alive was told that it is not")
		}
		mustUnlock(t, waiter)
	})
}

func TestLostClosesBeforeTheLeaseEnds(t *testing.T) {
	free := make(chan struct{})
	for name, fault := range map[string]func(*faulty){
		"refused":              func(f *faulty) { f.failBefore(down("Refresh")) },
		"hanging":              func(f *faulty) { f.failBefore(hang("Refresh", free)) },
		"applied, reply lost":  func(f *faulty) { f.failAfter(down("Refresh")) },
		"applied, reply hangs": func(f *faulty) { f.failAfter(hang("Refresh", free)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				free = make(chan struct{})
				q := newFaulty(leased(lease))
				var losses atomic.Int32
				m := lock.New(q, lock.WithTrace(&lock.Trace{Lost: func(queue.Ticket, error) { losses.Add(1) }}))
				mustLock(t, m)
				time.Sleep(lease/3 + time.Second) // one heartbeat was answered
				acknowledged := time.Now().Add(-time.Second)
				fault(q)
				<-m.Lost()
				if held, want := time.Since(acknowledged), lease*9/10; held != want {
					t.Errorf("Lost closed %v after the last heartbeat that was answered was sent, want %v: a tenth of the lease is for clocks that differ", held, want)
				}
				close(free)
				synctest.Wait()
				if n := losses.Load(); n != 1 {
					t.Errorf("the hook Lost was called %d times", n)
				}
				if err := m.Unlock(); !errors.Is(err, lock.ErrLost) {
					t.Errorf("Unlock returned %v, want ErrLost", err)
				}
			})
		})
	}
}

// The answer to a registration took most of the lease. Less of it is left than from one
// heartbeat to the next: the first must come in time all the same.
func TestFirstHeartbeatCountsFromTheRegistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		q.failAfter(func(_ context.Context, method string) error {
			if method == "Register" {
				time.Sleep(lease * 7 / 10) // its reply was lost, and it was sent again
			}
			return nil
		})
		m := lock.New(q)
		mustLock(t, m)
		time.Sleep(2 * lease)
		if isClosed(m.Lost()) {
			t.Error("lost, though every heartbeat is answered at once")
		}
		mustUnlock(t, m)
	})
}

func TestOneFailedHeartbeatIsNotALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		var failures atomic.Int32
		m := lock.New(q, lock.WithTrace(&lock.Trace{
			HeartbeatFailed: func(_ queue.Ticket, err error) {
				if !errors.Is(err, errDown) {
					t.Errorf("the hook HeartbeatFailed was told %v", err)
				}
				failures.Add(1)
			},
		}))
		mustLock(t, m)
		for range 10 {
			q.failBefore(down("Refresh"))
			time.Sleep(lease / 2)
			q.failBefore(down("nothing"))
			time.Sleep(lease / 2)
		}
		if isClosed(m.Lost()) {
			t.Error("lost, although every other heartbeat came through")
		}
		if failures.Load() < 10 {
			t.Errorf("the hook HeartbeatFailed was called %d times", failures.Load())
		}
		mustUnlock(t, m)
	})
}

func TestOneHangingHeartbeatIsNotALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		m := lock.New(q)
		mustLock(t, m)
		free := make(chan struct{})
		var hung atomic.Bool
		q.failBefore(func(_ context.Context, method string) error {
			if method == "Refresh" && hung.CompareAndSwap(false, true) {
				<-free
			}
			return nil
		})
		time.Sleep(3 * lease)
		if isClosed(m.Lost()) {
			t.Error("lost, although only one heartbeat hung")
		}
		close(free)
		mustUnlock(t, m)
	})
}

func TestLostWhenTheTicketIsGone(t *testing.T) {
	for name, lease := range map[string]time.Duration{"lease=30s": lease, "lease=none": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := leased(lease)
				option, tickets := registration()
				m := lock.New(q, option)
				mustLock(t, m)
				evict(t, q, <-tickets)
				evicted := time.Now()
				<-m.Lost()
				if took := time.Since(evicted); took > 10*time.Second {
					t.Errorf("the holder was told after %v, want 10 s at most", took)
				}
				if err := m.Unlock(); !errors.Is(err, lock.ErrLost) || !errors.Is(err, queue.ErrNotQueued) {
					t.Errorf("Unlock returned %v, want ErrLost because of ErrNotQueued", err)
				}
			})
		})
	}
}

func TestNoHeartbeatAfterUnlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		m := lock.New(q)
		mustLock(t, m)
		time.Sleep(lease)
		mustUnlock(t, m)
		n := q.count("")
		time.Sleep(3 * lease)
		if late := q.count("") - n; late > 0 {
			t.Errorf("%d calls after Unlock", late)
		}
	})
}

// A heartbeat hangs on its connection and the server is well: Unlock does not wait
// for it.
func TestK04UnlockWhileAHeartbeatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(memqueue.New(memqueue.WithLease(lease)))
		m, next := lock.New(q), lock.New(q)
		mustLock(t, m)
		free := make(chan struct{})
		q.failBefore(hang("Refresh", free))
		time.Sleep(lease/3 + time.Millisecond)
		began := time.Now()
		mustUnlock(t, m)
		mustLock(t, next)
		if took := time.Since(began); took > 0 {
			t.Errorf("the next one was served after %v", took)
		}
		close(free)
		mustUnlock(t, next)
	})
}

func TestCallsReturnWhenTheContextEndsAndTheBackendHangs(t *testing.T) {
	for _, method := range []string{"Register", "Watch", "Position", "stop", "Release", "TryRegister"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newFaulty(leased(lease))
				holder := lock.New(q)
				if method != "TryRegister" {
					mustLock(t, holder)
				}
				free := make(chan struct{})
				q.failAfter(func(ctx context.Context, called string) error {
					if called == method {
						<-free
						return nil
					}
					return hang("Release", free)(ctx, called) // it seldom comes alone
				})

				m := lock.New(q)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				began := time.Now()
				var err error
				if method == "TryRegister" {
					_, err = m.TryLock(ctx)
				} else {
					err = m.Lock(ctx)
				}
				if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took >= time.Second+100*time.Millisecond {
					t.Errorf("returned %v after %v", err, took)
				}
				never := strings.HasSuffix(method, "Register") // stood in line
				if never != strings.Contains(err.Error(), "before the queue answered") {
					t.Errorf("returned %q, and whether it stood in line is not what that says", err)
				}
				close(free) // the backend is back
				synctest.Wait()
				if method != "TryRegister" {
					mustUnlock(t, holder)
				}
				if n := inLine(t, q); n > 0 {
					t.Errorf("%d tickets are left in line", n)
				}
			})
		})
	}
}

// The line has moved, and what ends the listening hangs.
func TestLockReturnsWhenStopHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(memqueue.New())
		free := make(chan struct{})
		q.failBefore(hang("stop", free))
		holder, m := lock.New(q), lock.New(deaf{q})
		mustLock(t, holder)
		locked := make(chan error, 1)
		began := time.Now()
		go func() { locked <- m.Lock(t.Context()) }()
		synctest.Wait()
		mustUnlock(t, holder)
		if err := <-locked; err != nil || time.Since(began) > time.Minute {
			t.Errorf("Lock returned %v after %v", err, time.Since(began))
		}
		close(free)
		mustUnlock(t, m)
	})
}

// deaf is a queue that tells nothing of what its Watch hears.
type deaf struct{ *faulty }

func (d deaf) Watch(ctx context.Context, t queue.Ticket) (<-chan queue.Wake, func(), error) {
	_, stop, err := d.faulty.Watch(ctx, t)
	return nil, stop, err
}

// A queue with tickets that cannot be held is refused in time, also when it hangs.
func TestRefusalReturnsWhenReleaseHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		free := make(chan struct{})
		q.failBefore(hang("Release", free))
		began := time.Now()
		err := lock.New(queuetest.Hidden(q)["Refresher"]).Lock(t.Context())
		if took := time.Since(began); !errors.Is(err, errors.ErrUnsupported) || took >= 100*time.Millisecond {
			t.Errorf("Lock returned %v after %v", err, took)
		}
		close(free)
		synctest.Wait()
		if n := inLine(t, q); n > 0 {
			t.Errorf("%d tickets are left in line", n)
		}
	})
}

// A call into the queue that ends its goroutine has not answered: neither is anything
// owned, nor anything released.
func TestACallThatEndsItsGoroutineIsNoAnswer(t *testing.T) {
	for _, method := range []string{"Register", "TryRegister", "Position", "Release"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newFaulty(memqueue.New())
				holder, m := lock.New(q), lock.New(deaf{q})
				if method == "Position" {
					mustLock(t, holder)
				}
				q.failBefore(func(_ context.Context, called string) error {
					if called == method {
						runtime.Goexit()
					}
					return nil
				})
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				var err error
				switch method {
				case "TryRegister":
					_, err = m.TryLock(ctx)
				case "Release":
					mustLock(t, m)
					err = m.Unlock()
				default:
					err = m.Lock(ctx)
				}
				if err == nil || !strings.Contains(err.Error(), "gave no answer") {
					t.Errorf("returned %v, want that the queue gave no answer", err)
				}
			})
		})
	}
}

func TestAnEndedContextAsksTheQueueNothing(t *testing.T) {
	q := newFaulty(memqueue.New())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := lock.New(q)
	if err := m.Lock(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Lock returned %v", err)
	}
	if ok, err := m.TryLock(ctx); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("TryLock returned %v, %v", ok, err)
	}
	if n := q.count(""); n > 0 {
		t.Errorf("the queue was asked %d times", n)
	}
}

func TestUnlockGivesUpAfterTheReleaseTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		m, next := lock.New(q, lock.WithReleaseTimeout(2*time.Second)), lock.New(q)
		mustLock(t, m)
		lost := m.Lost()
		free := make(chan struct{})
		q.failBefore(hang("Release", free))
		began := time.Now()
		err := m.Unlock()
		if took := time.Since(began); err == nil || took != 2*time.Second {
			t.Errorf("Unlock returned %v after %v", err, took)
		}
		if errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it counts as the end of a wait, after which the caller has done nothing: %v", err)
		}
		if errors.Is(err, lock.ErrLost) || isClosed(lost) {
			t.Errorf("the hold counts as lost: %v", err)
		}
		mustLock(t, next) // the ticket lapses, because nothing refreshes it
		if took := time.Since(began); took > lease+time.Second {
			t.Errorf("the next one was served after %v", took)
		}
		close(free)
		mustUnlock(t, next)
	})
}

// What a call that was cancelled leaves to the background ends after the release timeout.
func TestRemovalInTheBackgroundEndsAfterTheReleaseTimeout(t *testing.T) {
	for name, late := range map[string]time.Duration{
		"of a ticket that has waited":    0,
		"of a ticket that came too late": 5 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newFaulty(leased(lease))
				mustRegister(t, q)
				q.failAfter(func(_ context.Context, method string) error {
					if method == "Register" {
						time.Sleep(late)
					}
					return nil
				})
				took := make(chan time.Duration, 1)
				q.failBefore(func(ctx context.Context, method string) error {
					if method != "Release" {
						return nil
					}
					began := time.Now()
					select {
					case <-ctx.Done():
					case <-time.After(time.Minute):
					}
					took <- time.Since(began)
					return ctx.Err()
				})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := lock.New(q, lock.WithReleaseTimeout(2*time.Second)).Lock(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Lock returned %v, want that its ctx has ended", err)
				}
				if took := <-took; took != 2*time.Second {
					t.Errorf("the ctx of its Release has ended after %v, want 2s", took)
				}
			})
		})
	}
}

func TestUnlockOfALostLockDoesNotWaitForTheBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		m := lock.New(q)
		mustLock(t, m)
		free := make(chan struct{})
		q.failBefore(func(context.Context, string) error { <-free; return errDown })
		<-m.Lost()
		began := time.Now()
		if err := m.Unlock(); !errors.Is(err, lock.ErrLost) {
			t.Errorf("Unlock returned %v, want ErrLost", err)
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("Unlock took %v", took)
		}
		close(free)
	})
}

func TestLateAnswerOfALeaseThatRanOutIsNotAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		slow := true
		q.failAfter(func(_ context.Context, method string) error {
			if method == "Register" && slow {
				slow = false
				time.Sleep(2 * lease) // as when the process is stopped
			}
			return nil
		})
		option, tickets := registration()
		m := lock.New(q, option)
		mustLock(t, m)
		first, second := <-tickets, <-tickets
		if m.Token() != second.Number {
			t.Errorf("holds with ticket %d, of %d and %d", m.Token(), first.Number, second.Number)
		}
		mustUnlock(t, m)
	})
}

// A lease that is over before the storage has answered is an error that says so: no
// ticket can be relied upon for long enough.
func TestLeaseShorterThanARegistration(t *testing.T) {
	for what, took := range map[string]time.Duration{"registration": lease - lease/20, "registration and a heartbeat": lease / 2} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := leased(lease)
				holder, far := lock.New(q), newFaulty(q)
				far.failAfter(func(_ context.Context, method string) error {
					switch method {
					case "Register", "TryRegister", "Refresh", "Position":
						time.Sleep(took)
					}
					return nil
				})
				m := lock.New(far)
				if took > lease/2 {
					if ok, err := m.TryLock(t.Context()); ok || err == nil || errors.Is(err, queue.ErrNotQueued) {
						t.Errorf("TryLock returned %v, %v", ok, err)
					}
				}
				mustLock(t, holder)
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				err := m.Lock(ctx)
				if err == nil || ctx.Err() != nil || errors.Is(err, queue.ErrNotQueued) || !strings.Contains(err.Error(), "give the queue a longer one") {
					t.Errorf("Lock returned %v, want that the lease is too short", err)
				}
				mustUnlock(t, holder)
				time.Sleep(2 * lease) // what is under way is answered
				if n := inLine(t, q); n > 0 {
					t.Errorf("%d tickets are left in line", n)
				}
			})
		})
	}
}

// A waiter that loses its place again and again goes on: when it is evicted, also where its
// looks are slow, and when the storage was there and then did not answer for a lease.
func TestLosesItsPlaceAgainAndAgain(t *testing.T) {
	for what, slow := range map[string]string{"evicted": "Position", "not answered": "Refresh"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := leased(lease)
				option, tickets := registration()
				holder, far := lock.New(q), newFaulty(q)
				far.failAfter(func(_ context.Context, method string) error {
					if method == slow && (slow != "Refresh" || far.count(slow)%5 != 1) {
						time.Sleep(lease)
					}
					return nil
				})
				m := lock.New(far, option)
				mustLock(t, holder)
				done := make(chan error, 1)
				go func() { done <- m.Lock(t.Context()) }()
				for range 5 {
					select {
					case ticket := <-tickets:
						if slow == "Position" {
							time.Sleep(3 * lease)
							evict(t, q, ticket)
						}
					case err := <-done:
						t.Fatalf("Lock returned %v", err)
					}
				}
				mustUnlock(t, holder)
				if err := <-done; err != nil {
					t.Fatalf("Lock returned %v", err)
				}
				mustUnlock(t, m)
				time.Sleep(2 * lease) // what is under way is answered
			})
		})
	}
}

// A try whose ticket the queue has given up does not say that the lock is taken.
func TestTryOfATicketThatWasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &givingUp{Queue: leased(lease)}
		m := lock.New(registering{q})
		if ok, err := m.TryLock(t.Context()); ok || err == nil || !strings.Contains(err.Error(), "gave the ticket up") {
			t.Errorf("TryLock returned %v, %v", ok, err)
		}
		mustLock(t, m)
		mustUnlock(t, m)
	})
}

// registering is a givingUp whose TryRegister is its Register.
type registering struct{ *givingUp }

func (q registering) TryRegister(ctx context.Context) (queue.Ticket, bool, error) {
	t, err := q.Register(ctx)
	return t, err == nil, err
}

// givingUp is a queue that has given up the first ticket when Register returns, or
// later, when it is told to.
type givingUp struct {
	*memqueue.Queue
	later   chan struct{} // nil: when Register returns
	tickets int
}

func (q *givingUp) Register(ctx context.Context) (queue.Ticket, error) {
	t, err := q.Queue.Register(ctx)
	q.tickets++
	if q.tickets == 1 {
		t.Lost = q.later
		if q.later == nil {
			lost := make(chan struct{})
			close(lost)
			t.Lost = lost
		}
	}
	return t, err
}

// A ticket that the queue has given up does not become a hold, however short a time ago.
func TestTicketThatWasGivenUpIsNotAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &givingUp{Queue: leased(lease)}
		m := lock.New(q)
		mustLock(t, m)
		if q.tickets != 2 {
			t.Errorf("holds with ticket %d of those taken", q.tickets)
		}
		mustUnlock(t, m)
	})
}

// The queue gives a hold up that the storage goes on to believe in, and its holder is
// busy: the others wait for a tenth of the lease, and not for all of it.
func TestAHoldThatWasGivenUpHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &givingUp{Queue: leased(lease), later: make(chan struct{})}
		m, other := lock.New(q), lock.New(q.Queue)
		mustLock(t, m)
		lost := m.Lost()
		began := time.Now()
		close(q.later)
		<-lost
		mustLock(t, other)
		if took := time.Since(began); took != lease/10 {
			t.Errorf("another one has it %v after the first was told of its loss, want %v", took, lease/10)
		}
		if err := m.Unlock(); !errors.Is(err, lock.ErrLost) {
			t.Errorf("Unlock returned %v, want ErrLost", err)
		}
		mustUnlock(t, other)
	})
}

// Heartbeats arrive, and their answers do not: the lease that the storage believes in ends
// long after the hold, and its holder is busy. The others do not wait for it.
func TestAHoldWhoseHeartbeatsAreNotAnsweredHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		m, other := lock.New(q), lock.New(q.Queue)
		mustLock(t, m)
		lost := m.Lost()
		q.failAfter(down("Refresh"))
		<-lost
		told := time.Now()
		mustLock(t, other)
		if took := time.Since(told); took != lease/10 {
			t.Errorf("another one has it %v after the first was told of its loss, want %v", took, lease/10)
		}
		if err := m.Unlock(); !errors.Is(err, lock.ErrLost) {
			t.Errorf("Unlock returned %v, want ErrLost", err)
		}
		mustUnlock(t, other)
	})
}

// What takes a hold that was given up out of the line does not touch the next hold.
func TestAHoldThatWasGivenUpAndUnlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		later := make(chan struct{})
		m := lock.New(giving{q, later})
		mustLock(t, m)
		lost := m.Lost()
		close(later)
		<-lost
		_ = m.Unlock()
		released := q.count("Release")
		time.Sleep(lease)
		if n := q.count("Release"); n != released {
			t.Errorf("%d releases after Unlock, want none", n-released)
		}
	})
}

// giving gives every ticket up when it is told to.
type giving struct {
	*faulty
	later chan struct{}
}

func (q giving) Register(ctx context.Context) (queue.Ticket, error) {
	t, err := q.faulty.Register(ctx)
	t.Lost = q.later
	return t, err
}

func TestWaiterOutlastsAShortFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		option, tickets := registration()
		holder, waiter := lock.New(q), lock.New(q, option)
		mustLock(t, holder)
		served := make(chan error, 1)
		go func() { served <- waiter.Lock(t.Context()) }()
		ticket := <-tickets
		q.failBefore(down())
		time.Sleep(lease / 2)
		q.failBefore(down("nothing"))
		mustUnlock(t, holder)
		if err := <-served; err != nil {
			t.Fatalf("Lock: %v", err)
		}
		if waiter.Token() != ticket.Number {
			t.Error("the waiter lost its place")
		}
		mustUnlock(t, waiter)
	})
}

// A look hangs on its connection; the grant comes over another, at once.
func TestGrantWhileALookHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		q := newFaulty(leased(lease))
		holder, waiter := lock.New(q), lock.New(q)
		mustLock(t, holder)
		served := make(chan time.Time, 1)
		go func() {
			mustLock(t, waiter)
			served <- time.Now()
		}()
		time.Sleep(time.Second)
		q.failBefore(hang("Position", free))
		time.AfterFunc(10*time.Second, func() { close(free) })
		time.Sleep(time.Second)
		granted := time.Now()
		mustUnlock(t, holder)
		if late := (<-served).Sub(granted); late > 0 {
			t.Errorf("served %v after it was granted its turn", late)
		}
		mustUnlock(t, waiter)
		<-free
	})
}

// hinting is a queue that gives hints when the test says so, and no grants.
type hinting struct {
	*faulty
	wake chan queue.Wake
}

func (h hinting) Watch(context.Context, queue.Ticket) (<-chan queue.Wake, func(), error) {
	return h.wake, func() {}, nil
}

// hint gives one, unless the last was not taken yet.
func (h hinting) hint() {
	select {
	case h.wake <- queue.WakeHint:
	default:
	}
}

// A hint that comes while the answer to a look is under way may be newer than
// the answer.
func TestHintWhileALookIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := hinting{newFaulty(memqueue.New()), make(chan queue.Wake, 1)}
		holder := lock.New(q)
		waiter := lock.New(q, lock.WithBackOff(func() backoff.BackOff { return backoff.NewConstantBackOff(time.Hour) }))
		mustLock(t, holder)
		began := time.Now()
		served := make(chan time.Time, 1)
		go func() {
			mustLock(t, waiter)
			served <- time.Now()
		}()
		synctest.Wait()
		answered := make(chan struct{})
		q.failAfter(func(_ context.Context, method string) error {
			if method == "Position" {
				<-answered
			}
			return nil
		})
		q.wake <- queue.WakeHint
		synctest.Wait()
		mustUnlock(t, holder)
		q.wake <- queue.WakeHint
		synctest.Wait()
		close(answered)
		if took := (<-served).Sub(began); took > 0 {
			t.Errorf("served after %v, by its own look", took)
		}
		mustUnlock(t, waiter)
	})
}

// A queue that hints because a look was not answered makes no busy loop of it. It hints the
// others as well, and so they each other.
func TestHintsWhileLooksFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := hinting{newFaulty(leased(lease)), make(chan queue.Wake, 1)}
		holder, waiter := lock.New(q.Queue), lock.New(q)
		mustLock(t, holder)
		served := make(chan error, 1)
		go func() { served <- waiter.Lock(t.Context()) }()
		synctest.Wait()
		q.failBefore(func(_ context.Context, method string) error {
			if method != "Position" {
				return nil
			}
			q.hint()
			return errDown
		})
		before := q.count("Position")
		for range 1000 { // 10 s
			time.Sleep(10 * time.Millisecond)
			q.hint()
		}
		if looks := q.count("Position") - before; looks < 10 || looks > 10*45 {
			t.Errorf("%d looks in 10 s", looks)
		}
		q.failBefore(down("nothing"))
		mustUnlock(t, holder)
		unlocked := time.Now()
		q.hint()
		if err := <-served; err != nil {
			t.Fatal(err)
		}
		if took := time.Since(unlocked); took > 50*time.Millisecond {
			t.Errorf("served after %v", took)
		}
		mustUnlock(t, waiter)
	})
}

// Nor does an owner whose grant may have been taken back.
func TestHintsWhileAnOwnerLooksInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := hinting{newFaulty(leased(lease)), make(chan queue.Wake, 1)}
		before, owner := lock.New(q.Queue), lock.New(q)
		mustLock(t, before)
		q.wake <- queue.WakeOwner
		mustLock(t, owner)
		time.Sleep(10 * time.Millisecond) // it stands guard
		const most = 10000                // or a busy loop would never end
		looks := func() int { return q.count("Position") }
		q.failBefore(func(_ context.Context, method string) error {
			if method != "Position" {
				return nil
			}
			if looks() < most {
				q.hint()
			}
			return errDown
		})
		q.hint()
		for range 1000 { // 10 s
			time.Sleep(10 * time.Millisecond)
			q.hint()
		}
		if n := looks(); n < 10 || n > 10*45 {
			t.Errorf("%d looks in 10 s", n)
		}
		lost := owner.Lost()
		q.failBefore(down("nothing"))
		answered := time.Now()
		q.hint()
		<-lost // the other one owns
		if took := time.Since(answered); took > 50*time.Millisecond {
			t.Errorf("told after %v", took)
		}
		if err := owner.Unlock(); !errors.Is(err, lock.ErrLost) {
			t.Errorf("Unlock returned %v", err)
		}
		mustUnlock(t, before)
	})
}

// A waiter notices a lost ticket also while its look hangs, and takes a new one.
func TestEvictedWhileALookHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		q := newFaulty(leased(lease))
		option, tickets := registration()
		holder, waiter := lock.New(q), lock.New(q, option)
		mustLock(t, holder)
		served := make(chan error, 1)
		go func() { served <- waiter.Lock(context.Background()) }()
		first := <-tickets
		q.failBefore(hang("Position", free))
		time.AfterFunc(2*lease, func() { close(free) })
		time.Sleep(time.Second)
		if err := q.Queue.Remove(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		evicted := time.Now()
		<-tickets
		if late := time.Since(evicted); late > lease/2 {
			t.Errorf("it has a new ticket %v after the old one was gone", late)
		}
		mustUnlock(t, holder)
		if err := <-served; err != nil {
			t.Fatal(err)
		}
		mustUnlock(t, waiter)
		<-free
	})
}

func TestWaiterGivesUpWhenTheFailureLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		holder, waiter := lock.New(q), lock.New(q)
		mustLock(t, holder)
		q.failBefore(down("Position", "Watch"))
		began := time.Now()
		err := waiter.Lock(t.Context())
		if took := time.Since(began); !errors.Is(err, errDown) || took > 2*lease {
			t.Errorf("Lock returned %v after %v", err, took)
		}
		mustUnlock(t, holder)
		if n := inLine(t, q); n > 0 {
			t.Errorf("%d tickets are left in line", n)
		}
	})
}

func TestFailureOfAQueueWithoutLeaseIsReturnedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(memqueue.New())
		holder, waiter := lock.New(q), lock.New(q)
		mustLock(t, holder)
		q.failBefore(down("Position"))
		if err := waiter.Lock(t.Context()); !errors.Is(err, errDown) {
			t.Errorf("Lock returned %v, want %v", err, errDown)
		}
		mustUnlock(t, holder)
	})
}

// TestPolling has a queue that wakes no waiter: after Unlock, the next in line
// looks within 25 ms, and the one after it has not backed off for the time that
// the first of them waited.
func TestPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queuetest.Bare(memqueue.New())
		holder := lock.New(q)
		mustLock(t, holder)
		served := make(chan time.Time, 4)
		for range cap(served) {
			option, tickets := registration()
			m := lock.New(q, option)
			go func() {
				mustLock(t, m)
				served <- time.Now()
				mustUnlock(t, m)
			}()
			<-tickets
		}
		time.Sleep(5 * time.Minute)
		last := time.Now()
		mustUnlock(t, holder)
		for range cap(served) {
			now := <-served
			if gap := now.Sub(last); gap > 50*time.Millisecond {
				t.Errorf("hand-off after %v", gap)
			}
			last = now
		}
	})
}

// unwatched is a queue that cannot tell a waiter anything.
type unwatched struct{ *faulty }

func (unwatched) Watch(context.Context, queue.Ticket) (<-chan queue.Wake, func(), error) {
	return nil, func() {}, errors.New("nothing to listen to")
}

// TestLineWithoutWakeUpsMovesOn has a long line that is never woken, in
// which all have backed off as far as they do. Once it moves, the next may be
// asleep, but not for longer than those in front of it may have been.
func TestLineWithoutWakeUpsMovesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := unwatched{newFaulty(memqueue.New())}
		holder := lock.New(q)
		mustLock(t, holder)
		served := make(chan struct{}, 20)
		for range cap(served) {
			option, tickets := registration()
			m := lock.New(q, option)
			go func() {
				mustLock(t, m)
				served <- struct{}{}
				mustUnlock(t, m)
			}()
			<-tickets
		}
		time.Sleep(time.Minute)
		began := time.Now()
		mustUnlock(t, holder)
		for range cap(served) {
			<-served
		}
		if took := time.Since(began); took > time.Duration(cap(served))*25*time.Millisecond {
			t.Errorf("%d waiters were served in %v", cap(served), took)
		}
	})
}

// TestManyDeadCostOneLease has a waiter behind many that all die at once, the holder
// with them, so that none is left to wake it.
func TestManyDeadCostOneLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := leased(lease)
		for range 1000 {
			if _, err := q.Register(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		m := lock.New(q)
		mustLock(t, m)
		if took := time.Since(began); took > lease+lease/3 {
			t.Errorf("1000 dead have cost %v; their lease is %v", took, lease)
		}
		mustUnlock(t, m)
	})
}

// TestIdleWaitersAreQuiet counts what waiters ask of a queue that would wake
// them, heartbeats included.
func TestIdleWaitersAreQuiet(t *testing.T) {
	for waiters, most := range map[int]float64{16: 0.6, 1000: 0.35} {
		t.Run(fmt.Sprintf("waiters=%d", waiters), func(t *testing.T) {
			if waiters > 100 {
				testenv.Long(t)
			}
			synctest.Test(t, func(t *testing.T) {
				const seconds = 60
				q := newFaulty(leased(lease))
				holder := lock.New(q)
				mustLock(t, holder)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				for range waiters {
					m := lock.New(q)
					go func() { done <- m.Lock(ctx) }()
				}
				time.Sleep(time.Minute)
				before := q.count("")
				time.Sleep(seconds * time.Second)
				if rate := float64(q.count("")-before) / float64(waiters) / seconds; rate > most {
					t.Errorf("%.2f operations per waiter and second, want at most %v", rate, most)
				}
				cancel()
				for range waiters {
					<-done
				}
				mustUnlock(t, holder)
			})
		})
	}
}

func TestBackOffOfTheUserIsObeyedAndNeverEndsAWait(t *testing.T) {
	for name, test := range map[string]struct {
		backoff backoff.BackOff
		least   int
		most    int
	}{
		"every minute":      {backoff.NewConstantBackOff(time.Minute), 55, 65},
		"gives up at once":  {&backoff.StopBackOff{}, 3000, 4000},
		"gives up after 10": {backoff.WithMaxRetries(backoff.NewConstantBackOff(time.Minute), 10), 55, 65},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newFaulty(memqueue.New())
				holder := lock.New(q)
				mustLock(t, holder)
				m := lock.New(q, lock.WithBackOff(func() backoff.BackOff { return test.backoff }))
				go func() {
					time.Sleep(time.Hour)
					mustUnlock(t, holder)
				}()
				mustLock(t, m)
				if n := q.count("Position"); n < test.least || n > test.most {
					t.Errorf("looked %d times in an hour, want %d to %d", n, test.least, test.most)
				}
				mustUnlock(t, m)
			})
		})
	}
}

// TestBackOffStartsAnewWhenTheLineMoves has a waiter that backs off from 1 s to twice
// as long each time: it looks 1 s, 3 s, 7 s and so on after it came, 63 s among
// them, and from then on, because the line has moved, after 1 s again.
func TestBackOffStartsAnewWhenTheLineMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := unwatched{newFaulty(memqueue.New())}
		first, second := lock.New(q), lock.New(q)
		last := lock.New(q, lock.WithBackOff(func() backoff.BackOff {
			return backoff.NewExponentialBackOff(backoff.WithInitialInterval(time.Second), backoff.WithMultiplier(2),
				backoff.WithRandomizationFactor(0), backoff.WithMaxInterval(time.Hour), backoff.WithMaxElapsedTime(0))
		}))
		mustLock(t, first)
		go func() { mustLock(t, second) }()
		synctest.Wait()
		began := time.Now()
		go func() {
			time.Sleep(60 * time.Second)
			mustUnlock(t, first)
			time.Sleep(12 * time.Second)
			mustUnlock(t, second)
		}()
		mustLock(t, last)
		if took := time.Since(began); took != 78*time.Second { // 63 s, and 1, 2, 4 and 8
			t.Errorf("served after %v", took)
		}
		mustUnlock(t, last)
	})
}

// A backoff of no time is not a busy loop, which would keep a processor and the
// backend from all others.
func TestBackOffOfNoTime(t *testing.T) {
	for name, b := range map[string]backoff.BackOff{
		"none":           &backoff.ZeroBackOff{},
		"less than none": backoff.NewConstantBackOff(-time.Minute),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newFaulty(memqueue.New())
				holder := lock.New(q)
				mustLock(t, holder)
				go func() {
					time.Sleep(time.Second)
					mustUnlock(t, holder)
				}()
				q.failBefore(func(_ context.Context, method string) error {
					if method == "Position" && q.count(method) > 1010 { // ends a loop in which no time goes by
						return errDown
					}
					return nil
				})
				m := lock.New(q, lock.WithBackOff(func() backoff.BackOff { return b }))
				if err := m.Lock(t.Context()); err != nil {
					t.Fatalf("Lock: %v, after %d looks in a second", err, q.count("Position"))
				}
				mustUnlock(t, m)
			})
		})
	}
}

// forger is a queue with a watcher that says what the test tells it to.
type forger struct {
	*faulty
	wakes chan queue.Wake
}

func (f *forger) Watch(context.Context, queue.Ticket) (<-chan queue.Wake, func(), error) {
	return f.wakes, func() {}, nil
}

func TestAWakeUpIsAHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &forger{newFaulty(leased(lease)), make(chan queue.Wake)}
		holder, waiter := lock.New(q), lock.New(q)
		mustLock(t, holder)
		served := make(chan error, 1)
		go func() { served <- waiter.Lock(t.Context()) }()
		for range 1000 {
			q.wakes <- queue.WakeHint
		}
		synctest.Wait()
		select {
		case err := <-served:
			t.Fatalf("Lock returned %v for a hint", err)
		default:
		}
		mustUnlock(t, holder)
		if err := <-served; err != nil { // nothing wakes it now: it polls
			t.Fatalf("Lock: %v", err)
		}
		mustUnlock(t, waiter)
	})
}

// TestGrantedIsNotBelievedAfterTheLease has a waiter that is stopped past its
// lease and finds a Granted when it wakes up.
func TestGrantedIsNotBelievedAfterTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &forger{newFaulty(leased(lease)), make(chan queue.Wake)}
		holder := lock.New(q)
		mustLock(t, holder)
		option, tickets := registration()
		waiter := lock.New(q, option)
		free := make(chan struct{})
		served := make(chan error, 1)
		go func() { served <- waiter.Lock(t.Context()) }()
		first := <-tickets
		q.failBefore(func(_ context.Context, method string) error {
			if method == "Refresh" || method == "Position" {
				<-free
			}
			return nil
		})
		q.wakes <- queue.WakeHint // the waiter hangs in Position from here on
		time.Sleep(2 * lease)
		if err := holder.Unlock(); !errors.Is(err, lock.ErrLost) {
			t.Errorf("Unlock returned %v, want ErrLost", err)
		}
		close(free)
		if err := <-served; err != nil {
			t.Fatalf("Lock: %v", err)
		}
		if waiter.Token() == first.Number {
			t.Error("holds with a ticket whose lease had run out")
		}
		mustUnlock(t, waiter)
	})
}

// Do returns then what its function has made of it, and that the lock was lost.
func TestDoEndsTheContextWhenTheLockIsLost(t *testing.T) {
	for name, do := range map[string]func(context.Context, queue.TicketQueue, lock.Option, func(context.Context) error) error{
		"Mutex": func(ctx context.Context, q queue.TicketQueue, option lock.Option, f func(context.Context) error) error {
			return lock.New(q, option).Do(ctx, f)
		},
		"Semaphore": func(ctx context.Context, q queue.TicketQueue, option lock.Option, f func(context.Context) error) error {
			return lock.NewSemaphore(q, 1, option).Do(ctx, func(ctx context.Context, _ *lock.Hold) error { return f(ctx) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := leased(lease)
				option, tickets := registration()
				failed := errors.New("f failed")
				err := do(t.Context(), q, option, func(ctx context.Context) error {
					evict(t, q, <-tickets)
					<-ctx.Done()
					if cause := context.Cause(ctx); !errors.Is(cause, lock.ErrLost) {
						t.Errorf("the cause is %v, want ErrLost", cause)
					}
					return failed
				})
				if !errors.Is(err, lock.ErrLost) || !errors.Is(err, failed) {
					t.Errorf("Do returned %v, want ErrLost and the error of f", err)
				}
			})
		})
	}
}

// The ctx of a Do's function has ended before the lock is released, and with no cause of
// its own: a goroutine that f has left behind cannot take itself for a holder.
func TestDoEndsTheContextWhenItsFunctionReturns(t *testing.T) {
	var kept context.Context
	m := lock.New(memqueue.New(), lock.WithTrace(&lock.Trace{Released: func(queue.Ticket, time.Duration) {
		if cause := context.Cause(kept); cause != context.Canceled {
			t.Errorf("as the lock is released, the ctx has ended with %v, want context.Canceled", cause)
		}
	}}))
	err := m.Do(t.Context(), func(ctx context.Context) error { kept = ctx; return nil })
	if err != nil || kept == nil {
		t.Errorf("Do returned %v, and gave its function the ctx %v", err, kept)
	}
}

// K60. Thousands wait, and their queue says that they need not look. Each looks about
// once a minute.
func TestK60ThousandsLookSeldom(t *testing.T) {
	testenv.Long(t)
	synctest.Test(t, func(t *testing.T) {
		const waiters, minutes = 500, 10
		q := newFaulty(leased(0))
		m := lock.New(q)
		mustLock(t, m)
		ctx, cancel := context.WithCancel(t.Context())
		var waiting sync.WaitGroup
		for range waiters {
			waiting.Go(func() { _ = m.Lock(ctx) })
		}
		synctest.Wait()
		time.Sleep(2 * time.Minute) // the looks of those that have just come
		before := q.count("Position")
		time.Sleep(minutes * time.Minute)
		if looks := q.count("Position") - before; looks > 2*waiters*minutes {
			t.Errorf("%d waiters have looked %d times in %d minutes", waiters, looks, minutes)
		}
		cancel()
		waiting.Wait()
		mustUnlock(t, m)
	})
}

// A wait has ended while others were ahead, and the turn comes while a hook still runs.
func TestTurnAfterABusyWait(t *testing.T) {
	for range 20 { // the turn and the end of ctx meet
		synctest.Test(t, func(t *testing.T) {
			q := leased(lease)
			ahead := []queue.Ticket{mustRegister(t, q), mustRegister(t, q), mustRegister(t, q)}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var leaving sync.WaitGroup
			leaving.Go(func() {
				for _, ticket := range ahead {
					time.Sleep(600 * time.Millisecond)
					if err := q.Release(t.Context(), ticket); err != nil {
						t.Error(err)
					}
				}
			})
			m := lock.New(q, lock.WithBackOff(func() backoff.BackOff { return backoff.NewConstantBackOff(10 * time.Millisecond) }),
				lock.WithTrace(&lock.Trace{Waiting: func(queue.Ticket, int) { time.Sleep(2 * time.Second) }}))
			if err := m.Lock(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, lock.ErrBusy) {
				t.Errorf("Lock returned %v, want that its ctx has ended while others were ahead", err)
			}
			leaving.Wait()
			if n := inLine(t, q); n != 0 {
				t.Errorf("%d tickets are left", n)
			}
		})
	}
}

// Nothing was ahead when the wait ended: it had found that it owns, and was ending its watch.
func TestTheEndOfTheContextAfterTheTurnHasCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		first := mustRegister(t, q)
		q.failBefore(func(_ context.Context, method string) error {
			if method == "stop" {
				time.Sleep(60 * time.Millisecond)
			}
			return nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		time.AfterFunc(170*time.Millisecond, func() {
			if err := q.Release(t.Context(), first); err != nil {
				t.Error(err)
			}
		})
		m := lock.New(unheard{q}, lock.WithBackOff(func() backoff.BackOff { return backoff.NewConstantBackOff(5 * time.Millisecond) }))
		if err := m.Lock(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, lock.ErrBusy) {
			t.Errorf("Lock returned %v, want that its ctx has ended, and that it was not busy", err)
		}
		time.Sleep(time.Second) // for stop to return
	})
}

// unheard is a queue whose wake-ups do not arrive.
type unheard struct{ *faulty }

func (u unheard) Watch(ctx context.Context, t queue.Ticket) (<-chan queue.Wake, func(), error) {
	_, stop, err := u.faulty.Watch(ctx, t)
	return make(chan queue.Wake), stop, err
}

// The queue has said that the ticket is gone, and so it has answered, whatever a look before
// that has met.
func TestTheEndOfTheContextAfterAnEviction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		mustRegister(t, q)
		looks := 0
		q.failBefore(func(_ context.Context, method string) error {
			if method == "Watch" {
				return errDown // it polls
			}
			if method == "Position" {
				looks++
				return []error{nil, errDown, queue.ErrNotQueued}[min(looks, 3)-1]
			}
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		m := lock.New(q, lock.WithTrace(&lock.Trace{Failed: func(queue.Ticket, time.Duration, error) { cancel() }}))
		if err := m.Lock(ctx); !errors.Is(err, lock.ErrBusy) || errors.Is(err, errDown) {
			t.Errorf("after %d looks Lock returned %v, want that it was busy", looks, err)
		}
	})
}

// A call whose ctx has ended, or whose WithMaxWait is over, gets no lock: also where its
// turn has come while a hook of the user's ran.
func TestTurnAfterTheEndOfTheContext(t *testing.T) {
	const allowed, late = time.Second, 2 * time.Second
	slow := lock.WithTrace(&lock.Trace{Registered: func(queue.Ticket) { time.Sleep(late) }})
	for name, call := range map[string]func(ctx context.Context, q queue.TicketQueue) error{
		"Lock": func(ctx context.Context, q queue.TicketQueue) error { return lock.New(q, slow).Lock(ctx) },
		"TryLock": func(ctx context.Context, q queue.TicketQueue) error {
			ok, err := lock.New(q, slow).TryLock(ctx)
			if ok {
				t.Error("TryLock has the lock")
			}
			return err
		},
		"Acquire": func(ctx context.Context, q queue.TicketQueue) error {
			_, err := lock.NewSemaphore(q, 2, slow).Acquire(ctx)
			return err
		},
		"Do with WithMaxWait": func(ctx context.Context, q queue.TicketQueue) error {
			return lock.New(q, slow, lock.WithMaxWait(allowed)).Do(context.WithoutCancel(ctx), func(context.Context) error {
				t.Error("Do has called its function")
				return nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := leased(lease)
				ctx, cancel := context.WithTimeout(t.Context(), allowed)
				defer cancel()
				if err := call(ctx, q); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, lock.ErrBusy) {
					t.Errorf("it returned %v, want that its ctx has ended, and that it was not busy", err)
				}
				if n := inLine(t, q); n != 0 {
					t.Errorf("%d tickets are left", n)
				}
			})
		})
	}
}
