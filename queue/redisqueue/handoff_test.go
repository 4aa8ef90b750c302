package redisqueue_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// handOff makes a line of the clients' own through a proxy: a holder, and two that
// wait and listen. Then the network swallows what is sent, until heal.
func handOff(t *testing.T, change []func(*redis.Options), opts ...redisqueue.Option) (q, direct *redisqueue.Queue, lose func(), tickets []queue.Ticket, wakes []<-chan queue.Wake, heal func()) {
	redistest.NeedReal(t)
	client, name := redistest.Client(t), redistest.Name(t)
	warm(t, client)
	proxy := redistest.NewProxy(t, redistest.Addr(t))
	q, direct = redisqueue.New(redistest.ClientOf(t, proxy.Addr, change...), name, opts...), redisqueue.New(client, name)
	first := mustRegister(t, q)
	listening(t, q)
	tickets = append(tickets, first)
	for range 2 {
		ticket := mustRegister(t, q)
		wake, _ := watch(t, q, ticket)
		tickets, wakes = append(tickets, ticket), append(wakes, wake)
	}
	lose = func() { client.Del(t.Context(), redistest.Keys(t, client, name)...) }
	return q, direct, lose, tickets, wakes, proxy.BlackHole()
}

// release releases in the background.
func release(t *testing.T, q queue.TicketQueue, ticket queue.Ticket) <-chan error {
	done := make(chan error, 1)
	go func() { done <- queue.Release(t.Context(), q, ticket) }()
	return done
}

// The next in this process owns before the server has heard of the release. What it
// is told by a look it is told when the server has.
func TestHandOffBeforeTheServer(t *testing.T) {
	t.Parallel()
	q, direct, _, tickets, wakes, heal := handOff(t, nil)
	released := release(t, q, tickets[0])
	wantWake(t, wakes[0], queue.WakeOwner)
	wantNoWake(t, wakes[1])
	wantHead(t, direct, tickets[0]) // for the server, still
	ctx, cancel := context.WithTimeout(t.Context(), shortly)
	defer cancel()
	if place, err := q.Position(ctx, tickets[1]); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a look before the server has heard of the release: %+v, %v", place, err)
	}
	// It is given up itself meanwhile: the next goes on.
	second := release(t, q, tickets[1])
	wantWake(t, wakes[1], queue.WakeOwner)
	heal()
	for _, done := range []<-chan error{released, second} {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	wantHead(t, q, tickets[2])
	wantNoWake(t, wakes[1])
	mustRelease(t, q, tickets[2])
	wantEmpty(t, direct)
}

// The caller of a release does not wait for the end of an outage, which the lease of the
// next outlives: its hold is none the worse for that, and nothing stays in front of it.
func TestHandOffWhoseReleaseIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	impatient := func(o *redis.Options) { o.ReadTimeout = 10 * shortly } // which ends the call after its ctx
	q, direct, _, tickets, wakes, heal := handOff(t, []func(*redis.Options){impatient})
	ctx, cancel := context.WithTimeout(t.Context(), shortly)
	defer cancel()
	if err := queue.Release(ctx, q, tickets[0]); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Release returned %v, want that its ctx has ended", err)
	}
	wantWake(t, wakes[0], queue.WakeOwner)
	heal()
	wantHead(t, q, tickets[1])
	mustRelease(t, q, tickets[1])
	wantHead(t, q, tickets[2])
	mustRelease(t, q, tickets[2])
	wantEmpty(t, direct)
}

// A hold that package lock has given up, because its lease may run out before a heartbeat
// is answered, hands on no more: the server decides.
func TestHandOffNotAtTheEndOfALease(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	for lease := 2 * time.Second; ; lease *= 2 {
		began := time.Now()
		q, _, _, tickets, wakes, heal := handOff(t, nil, redisqueue.WithLease(lease))
		if took := time.Since(began); took > lease/10 {
			t.Logf("it took %v: the first may be evicted before the network fails", took)
			heal()
			continue
		}
		time.Sleep(lease * 85 / 100) // since the last was taken, on a slow machine, too
		released := release(t, q, tickets[0])
		// The subscription may be made anew meanwhile, which is a hint.
		for none := time.After(shortly); none != nil; {
			select {
			case got := <-wakes[0]:
				if got == queue.WakeOwner {
					t.Error("granted at the end of a lease")
				}
			case <-none:
				none = nil
			}
		}
		heal()
		<-released
		return
	}
}

// The server has lost the line. A waiter that was granted its turn here is told to look,
// and finds that it has no ticket. The releases say so, too.
func TestHandOffAfterLossOfData(t *testing.T) {
	q, direct, lose, tickets, wakes, heal := handOff(t, nil)
	lose()
	other := mustRegister(t, direct)
	released := release(t, q, tickets[0])
	wantWake(t, wakes[0], queue.WakeOwner)
	second := release(t, q, tickets[1])
	wantWake(t, wakes[1], queue.WakeOwner)
	heal()
	wantWake(t, wakes[1], queue.WakeHint)
	_, err := q.Position(t.Context(), tickets[2])
	wantNotQueued(t, err)
	wantNotQueued(t, <-released)
	wantNotQueued(t, <-second)
	wantHead(t, direct, other)
	mustRelease(t, direct, other)
}

// The ticket of the one that was granted is all that is lost: another owns.
func TestHandOffToALostTicket(t *testing.T) {
	q, direct, _, tickets, wakes, heal := handOff(t, nil)
	mustRelease(t, direct, tickets[1])
	released := release(t, q, tickets[0])
	wantWake(t, wakes[0], queue.WakeOwner)
	heal()
	if err := <-released; err != nil {
		t.Error(err)
	}
	wantWake(t, wakes[0], queue.WakeHint)
	_, err := q.Position(t.Context(), tickets[1])
	wantNotQueued(t, err)
	wantWake(t, wakes[1], queue.WakeOwner) // the server's word
	mustRelease(t, q, tickets[2])
}

// Releases arrive in another order than they were sent in, or the reply to one is lost,
// while a later one of the chain is under way: nothing was lost, nothing is taken back.
func TestHandOffWhileReleasesAreUnderWay(t *testing.T) {
	for what, test := range map[string]struct {
		lose  int // replies to the first
		order [3]int
	}{
		"another order": {0, [3]int{1, 0, 2}},
		"lost reply":    {1, [3]int{0, 1, 2}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			redistest.NeedReal(t)
			client, name := redistest.Client(t), redistest.Name(t)
			warm(t, client)
			proxy := redistest.NewProxy(t, redistest.Addr(t))
			q := redisqueue.New(redistest.ClientOf(t, proxy.Addr), name)
			tickets := []queue.Ticket{mustRegister(t, q)}
			listening(t, q)
			proxy.LoseReplies(tickets[0].Member, test.lose)
			var wake <-chan queue.Wake
			var lets []func()
			var releases []<-chan error
			for i := range 3 {
				next := mustRegister(t, q)
				wake, _ = watch(t, q, next)
				tickets = append(tickets, next)
				delayed, let := proxy.DelayRequests(tickets[i].Member, 1)
				releases = append(releases, release(t, q, tickets[i]))
				wantWake(t, wake, queue.WakeOwner)
				<-delayed
				lets = append(lets, let)
			}
			for _, i := range test.order {
				lets[i]()
				if err := <-releases[i]; err != nil {
					t.Error(err)
				}
				wantNoWake(t, wake)
			}
			wantHead(t, q, tickets[3])
			mustRelease(t, q, tickets[3])
			wantEmpty(t, q)
		})
	}
}

// Many goroutines, through few connections and in batches: one at a time, in order.
func TestHandOffMany(t *testing.T) {
	t.Parallel()
	client, name := redistest.Client(t), redistest.Name(t)
	q := redisqueue.New(client, name)
	var mu sync.Mutex // never waited for: the queue excludes
	var last int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 30 {
				ticket, err := q.Register(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				stop, err := own(t.Context(), q, ticket)
				if err != nil {
					t.Error(err)
					return
				}
				if !mu.TryLock() {
					t.Error("two own")
				} else {
					if ticket.Number <= last {
						t.Errorf("number %d after %d", ticket.Number, last)
					}
					last = ticket.Number
					mu.Unlock()
				}
				if err := q.Release(t.Context(), ticket); err != nil {
					t.Error(err)
				}
				stop()
			}
		})
	}
	wg.Wait()
	wantEmpty(t, q)
	if keys := redistest.Keys(t, client, name); len(keys) != 0 {
		t.Errorf("%q are left", keys)
	}
	if n := redisqueue.Waiters(q); n != 0 {
		t.Errorf("%d waiters are left", n)
	}
}

// Calls that hang hold up no other for longer than a moment.
func TestSenderBesideAHangingConnection(t *testing.T) {
	redistest.NeedReal(t)
	warm(t, redistest.Client(t))
	proxy := redistest.NewProxy(t, redistest.Addr(t))
	slow := redistest.ClientOf(t, proxy.Addr, func(o *redis.Options) { o.ReadTimeout = time.Minute })
	q := redisqueue.New(slow, redistest.Name(t))
	ticket := mustRegister(t, q)
	var wg sync.WaitGroup
	for range 8 { // more than fly at once
		held, deliver := proxy.HoldRequest(redisqueue.RefreshHash)
		wg.Go(func() { _ = q.Refresh(t.Context(), ticket) })
		<-held
		defer deliver()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := q.Release(ctx, ticket); err != nil {
		t.Errorf("Release beside heartbeats that hang: %v", err)
	}
	proxy.Cut()
	wg.Wait()
}
