//go:build linux

package faulttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
)

// mutex is a lock on a queue of the test's own.
func mutex(t *testing.T, spec harness.Spec, opts ...lock.Option) (*lock.Mutex, queue.TicketQueue) {
	t.Helper()
	q, closeQueue := spec.Open()
	t.Cleanup(closeQueue)
	return lock.New(q, opts...), q
}

func mustLock(t *testing.T, m *lock.Mutex) {
	t.Helper()
	if err := m.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func mustUnlock(t *testing.T, m *lock.Mutex) {
	t.Helper()
	if err := m.Unlock(); err != nil {
		t.Fatal(err)
	}
}

// becomesEmpty waits until nobody is in line any more.
func becomesEmpty(t *testing.T, q queue.TicketQueue) {
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

// The ctx ends at any moment of Lock's way: it owns the lock and says so, or it
// says the ctx's error and has left no ticket.
func TestX12CancelAnywhere(t *testing.T) {
	onBoth(t, aLongLease, func(t *testing.T, spec harness.Spec) {
		const repeats = 1000
		random := harness.Random(t)
		first, q := mutex(t, spec)
		second, _ := mutex(t, spec)
		granted := 0
		for i := range repeats {
			if i%2 == 0 {
				mustLock(t, first)
			}
			ctx, cancel := context.WithCancel(t.Context())
			result := make(chan error)
			go func() { result <- second.Lock(ctx) }()
			time.Sleep(time.Duration(random.Int64N(int64(500 * time.Microsecond))))
			cancel()
			err := <-result
			switch {
			case err == nil:
				granted++
				if second.Token() == 0 {
					t.Fatal("Lock returned nil and the Mutex is not locked")
				}
				mustUnlock(t, second)
			case !errors.Is(err, context.Canceled):
				t.Fatal(err)
			case !errors.Is(second.Unlock(), lock.ErrNotLocked):
				t.Fatal("Lock was canceled, and the Mutex is locked")
			}
			if i%2 == 0 {
				mustUnlock(t, first)
			}
			becomesEmpty(t, q)
		}
		t.Logf("%d of %d were granted before they were canceled", granted, repeats)
	})
}

// The ctx ends at the moment at which it is the waiter's turn. Whatever comes of
// it, the one behind it is not forgotten.
func TestX13CancelMeetsGrant(t *testing.T) {
	onBoth(t, aLongLease, func(t *testing.T, spec harness.Spec) {
		const repeats = 300
		random := harness.Random(t)
		holder, q := mutex(t, spec)
		middle, _ := mutex(t, spec)
		last, _ := mutex(t, spec)
		granted := 0
		var slowest time.Duration
		for range repeats {
			mustLock(t, holder)
			ctx, cancel := context.WithCancel(t.Context())
			second, third := make(chan error, 1), make(chan error, 1)
			go func() { second <- middle.Lock(ctx) }()
			awaitLine(t, q, 2)
			go func() { third <- last.Lock(t.Context()) }()
			awaitLine(t, q, 3)
			var race sync.WaitGroup
			race.Go(func() {
				time.Sleep(time.Duration(random.Int64N(int64(200 * time.Microsecond))))
				cancel()
			})
			mustUnlock(t, holder)
			race.Wait()
			began := time.Now()
			switch err := <-second; {
			case err == nil:
				granted++
				mustUnlock(t, middle)
			case !errors.Is(err, context.Canceled):
				t.Fatal(err)
			}
			if err := <-third; err != nil {
				t.Fatal(err)
			}
			slowest = max(slowest, time.Since(began))
			mustUnlock(t, last)
		}
		t.Logf("%d of %d were granted; the one behind waited for %v at most", granted, repeats, slowest)
		if slowest > soon {
			t.Errorf("the one behind waited for %v", slowest)
		}
	})
}

// awaitLine waits until so many are in line.
func awaitLine(t *testing.T, q queue.TicketQueue, n int) {
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

// The server, or the network, says nothing. A call returns when its ctx ends,
// and when the server is back nothing is left of it.
func TestR17CancelWhileTheServerIsSilent(t *testing.T) {
	silences := map[string]func(t *testing.T) (addr string, silence, heal func()){
		"paused": func(t *testing.T) (string, func(), func()) {
			server := redistest.StartServer(t)
			return server.Addr, server.Pause, server.Resume
		},
		"black hole": func(t *testing.T) (string, func(), func()) {
			redistest.NeedReal(t)
			proxy := redistest.NewProxy(t, redistest.Addr(t))
			var heal func()
			return proxy.Addr, func() { heal = proxy.BlackHole() }, func() { heal() }
		},
	}
	for name, start := range silences {
		for _, when := range []string{"register", "wait", "try"} {
			t.Run(fmt.Sprint(name, "/", when), func(t *testing.T) {
				addr, silence, heal := start(t)
				spec := harness.Redis(addr, redistest.Name(t), aLongLease)
				holder, q := mutex(t, spec)
				waiter, _ := mutex(t, spec)
				mustLock(t, holder) // and the connections are there
				ctx, cancel := context.WithCancel(t.Context())
				result := make(chan error, 1)
				call := waiter.Lock
				if when == "try" {
					call = func(ctx context.Context) error {
						_, err := waiter.TryLock(ctx)
						return err
					}
				}
				if when == "wait" {
					go func() { result <- call(ctx) }()
					awaitLine(t, q, 2)
					silence()
				} else {
					silence()
					go func() { result <- call(ctx) }()
				}
				time.Sleep(aMoment) // it hangs in whatever it does
				began := time.Now()
				cancel()
				err := <-result
				if took := time.Since(began); took > time.Second {
					t.Errorf("it returned %v after its ctx ended", took)
				} else {
					t.Logf("it returned %v after its ctx ended", took)
				}
				if !errors.Is(err, context.Canceled) {
					t.Errorf("it returned %v, want the ctx's error", err)
				}
				heal()
				awaitLine(t, q, 1)
				mustUnlock(t, holder)
				becomesEmpty(t, q)
			})
		}
	}
}

// Of one Lock, the replies get lost: there is one ticket, and one grant.
func TestR13LostReplyOfRegister(t *testing.T) {
	lostReplies(t, func(t *testing.T, far, near *lock.Mutex, q queue.TicketQueue, lose func(times int), retries int) {
		for lost := 1; lost <= 3; lost++ {
			lose(lost)
			err := far.Lock(t.Context())
			want := 1
			if err != nil {
				want = 0
			}
			if err != nil && retries >= lost {
				t.Errorf("with %d lost replies: %v", lost, err)
			}
			members, merr := queue.Members(t.Context(), q)
			if merr != nil || len(members) != want {
				t.Errorf("after %d lost replies and %v, %d are in line (%v), want %d", lost, err, len(members), merr, want)
			}
			if err == nil {
				mustUnlock(t, far)
			}
			mustLock(t, near) // nobody waits behind a ghost
			mustUnlock(t, near)
		}
	})
}

// Of one Unlock, the replies get lost: it says nil all the same, and touches
// nobody else's ticket.
func TestR14LostReplyOfRelease(t *testing.T) {
	lostReplies(t, func(t *testing.T, far, near *lock.Mutex, q queue.TicketQueue, lose func(times int), _ int) {
		for lost := 1; lost <= 3; lost++ {
			mustLock(t, far)
			next := make(chan error, 1)
			go func() { next <- near.Lock(t.Context()) }()
			awaitLine(t, q, 2)
			lose(lost)
			if err := far.Unlock(); err != nil {
				t.Errorf("with %d lost replies: %v", lost, err)
			}
			if err := <-next; err != nil {
				t.Fatal(err)
			}
			if err := far.Unlock(); !errors.Is(err, lock.ErrNotLocked) {
				t.Errorf("a second Unlock returned %v", err)
			}
			mustUnlock(t, near)
		}
	})
}

// lostReplies runs a test with a Mutex behind a network that loses replies when
// it is told to, and one that has no such trouble, for each number of retries.
func lostReplies(t *testing.T, test func(t *testing.T, far, near *lock.Mutex, q queue.TicketQueue, lose func(times int), retries int)) {
	redistest.NeedReal(t)
	for retries := range 6 {
		t.Run(fmt.Sprintf("MaxRetries=%d", retries), func(t *testing.T) {
			proxy := redistest.NewProxy(t, redistest.Addr(t))
			configured := retries
			if retries == 0 {
				configured = -1 // to go-redis, 0 is 3
			}
			client := redistest.ClientOf(t, proxy.Addr, func(o *redis.Options) { o.MaxRetries = configured })
			name := redistest.Name(t)
			q := queue.NewRedis(redistest.Client(t), name)
			far, near := lock.New(queue.NewRedis(client, name)), lock.New(q)
			mustLock(t, near) // the server knows the scripts from now on
			mustUnlock(t, near)
			test(t, far, near, q, func(times int) { proxy.LoseReplies("evalsha", times) }, retries)
			becomesEmpty(t, q)
		})
	}
}
