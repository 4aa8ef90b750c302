//go:build linux

package call

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// The ctx ends at any moment of Lock's way: it owns the lock and says so, or it
// says the ctx's error and has left no ticket.
func TestX12CancelAnywhere(t *testing.T) {
	t.Parallel()
	faulttest.OnBoth(t, faulttest.LongLease, func(t *testing.T, spec harness.Spec) {
		const repeats = 1000
		random := harness.Random(t)
		first, q := faulttest.Mutex(t, spec)
		second, _ := faulttest.Mutex(t, spec)
		granted := 0
		for i := range repeats {
			if i%2 == 0 {
				faulttest.MustLock(t, first)
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
				faulttest.MustUnlock(t, second)
			case !errors.Is(err, context.Canceled):
				t.Fatal(err)
			case !errors.Is(second.Unlock(), lock.ErrNotLocked):
				t.Fatal("Lock was canceled, and the Mutex is locked")
			}
			if i%2 == 0 {
				faulttest.MustUnlock(t, first)
			}
			faulttest.AwaitEmpty(t, q)
		}
		t.Logf("%d of %d were granted before they were canceled", granted, repeats)
	})
}

// The ctx ends at the moment at which it is the waiter's turn. Whatever comes of
// it, the one behind it is not forgotten.
func TestX13CancelMeetsGrant(t *testing.T) {
	t.Parallel()
	faulttest.OnBoth(t, faulttest.LongLease, func(t *testing.T, spec harness.Spec) {
		const repeats = 300
		random := harness.Random(t)
		holder, q := faulttest.Mutex(t, spec)
		middle, _ := faulttest.Mutex(t, spec)
		last, _ := faulttest.Mutex(t, spec)
		faulttest.InTheEnd(t, func() (quick bool) {
			granted := 0
			var slowest time.Duration
			for range repeats {
				faulttest.MustLock(t, holder)
				ctx, cancel := context.WithCancel(t.Context())
				second, third := make(chan error, 1), make(chan error, 1)
				go func() { second <- middle.Lock(ctx) }()
				faulttest.AwaitLine(t, q, 2)
				go func() { third <- last.Lock(t.Context()) }()
				faulttest.AwaitLine(t, q, 3)
				var race sync.WaitGroup
				race.Go(func() {
					time.Sleep(time.Duration(random.Int64N(int64(200 * time.Microsecond))))
					cancel()
				})
				faulttest.MustUnlock(t, holder)
				race.Wait()
				began := time.Now()
				switch err := <-second; {
				case err == nil:
					granted++
					faulttest.MustUnlock(t, middle)
				case !errors.Is(err, context.Canceled):
					t.Fatal(err)
				}
				if err := <-third; err != nil {
					t.Fatal(err)
				}
				slowest = max(slowest, time.Since(began))
				faulttest.MustUnlock(t, last)
			}
			t.Logf("%d of %d were granted; the one behind waited for %v at most", granted, repeats, slowest)
			return slowest <= faulttest.Soon
		})
	})
}

// The server, or the network, says nothing. A call returns when its ctx ends,
// and when the server is back nothing is left of it.
func TestR17CancelWhileTheServerIsSilent(t *testing.T) {
	t.Parallel()
	silences := map[string]func(t *testing.T) (p *redistest.Proxy, silence, heal func()){
		"paused": func(t *testing.T) (*redistest.Proxy, func(), func()) {
			server := redistest.StartServer(t)
			return redistest.NewProxy(t, server.Addr), server.Pause, server.Resume
		},
		"black hole": func(t *testing.T) (*redistest.Proxy, func(), func()) {
			redistest.NeedReal(t)
			proxy := redistest.NewProxy(t, redistest.Addr(t))
			var heal func()
			return proxy, func() { heal = proxy.BlackHole() }, func() { heal() }
		},
	}
	for name, start := range silences {
		for _, when := range []string{"register", "wait", "try"} {
			t.Run(fmt.Sprint(name, "/", when), func(t *testing.T) {
				proxy, silence, heal := start(t)
				spec := harness.Redis(proxy.Addr, redistest.Name(t), faulttest.LongLease)
				holder, q := faulttest.Mutex(t, spec)
				registered := make(chan queue.Ticket, 2)
				waiter, _ := faulttest.Mutex(t, spec, lock.WithTrace(&lock.Trace{
					Registered: func(t queue.Ticket) { registered <- t },
				}))
				faulttest.MustLock(t, waiter) // so that its connection is there
				<-registered
				faulttest.MustUnlock(t, waiter)
				faulttest.MustLock(t, holder)
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
					<-registered
					silence()
				} else {
					silence()
					sent := proxy.See(spec.Name)
					go func() { result <- call(ctx) }()
					<-sent
				}
				began := time.Now()
				cancel()
				err := <-result
				if took := time.Since(began); took > faulttest.Soon {
					t.Errorf("it returned %v after its ctx ended", took)
				} else {
					t.Logf("it returned %v after its ctx ended", took)
				}
				if !errors.Is(err, context.Canceled) {
					t.Errorf("it returned %v, want the ctx's error", err)
				}
				heal()
				faulttest.AwaitLine(t, q, 1)
				faulttest.MustUnlock(t, holder)
				faulttest.AwaitEmpty(t, q)
			})
		}
	}
}

// Of one Lock, the replies get lost: there is one ticket, and one grant.
func TestR13LostReplyOfRegister(t *testing.T) {
	t.Parallel()
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
				faulttest.MustUnlock(t, far)
			}
			faulttest.MustLock(t, near) // no ghost is in front of it
			faulttest.MustUnlock(t, near)
		}
	})
}

// The replies to one Unlock get lost. It says nil all the same, and touches no ticket of
// another owner.
func TestR14LostReplyOfRelease(t *testing.T) {
	t.Parallel()
	lostReplies(t, func(t *testing.T, far, near *lock.Mutex, q queue.TicketQueue, lose func(times int), _ int) {
		for lost := 1; lost <= 3; lost++ {
			faulttest.MustLock(t, far)
			next := make(chan error, 1)
			go func() { next <- near.Lock(t.Context()) }()
			faulttest.AwaitLine(t, q, 2)
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
			faulttest.MustUnlock(t, near)
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
			q := redisqueue.New(redistest.Client(t), name)
			far, near := lock.New(redisqueue.New(client, name)), lock.New(q)
			faulttest.MustLock(t, near) // the server knows the scripts from now on
			faulttest.MustUnlock(t, near)
			test(t, far, near, q, func(times int) { proxy.LoseReplies("evalsha", times) }, retries)
			faulttest.AwaitEmpty(t, q)
		})
	}
}
