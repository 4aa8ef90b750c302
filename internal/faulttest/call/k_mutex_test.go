//go:build linux

package call

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// A heartbeat that hangs on its connection does not keep a hold:
//
//  1. A holds. B waits. The next heartbeat of A's hangs.
//  2. A unlocks.
//  3. The heartbeat arrives. It makes nothing that is gone.
func TestK04RedisHeartbeatHangs(t *testing.T) {
	t.Parallel()
	p := faulttest.NewPaths(t)
	const lease = 3 * time.Second
	a := p.Mutex(p.Far, lease, lock.WithReleaseTimeout(time.Hour))
	b := p.Mutex(p.Near, faulttest.LongLease)
	faulttest.MustLock(t, a)
	hangs, send := p.Proxy.DelayRequests(p.Keys, 1)
	waiting := faulttest.Lock(t.Context(), t, b)
	<-hangs
	unlocked := make(chan error, 1)
	go func() { unlocked <- a.Unlock() }()
	select {
	case err := <-unlocked:
		if err != nil {
			t.Errorf("Unlock returned %v", err)
		}
	case <-time.After(faulttest.Long):
		t.Errorf("Unlock has not returned for %v: it waits for the heartbeat", faulttest.Long)
	}
	waiting.Granted()
	send()
	faulttest.MustUnlock(t, b)
	faulttest.AwaitEmpty(t, redisqueue.New(p.Near, p.Name))
	if keys := redistest.Keys(t, p.Near, p.Name); len(keys) > 0 {
		t.Errorf("left behind: %q", keys)
	}
}

// A hold that was lost and not given up yet holds up its own Mutex alone:
//
//  1. A goroutine holds the lock, loses it, and goes on with what it does.
//  2. Another goroutine of the same Mutex calls Lock.
//  3. Another process calls Lock: it owns, though the first two go on.
//  4. The first goroutine unlocks. The second owns after the other process.
func TestK07LostHoldThatIsNotGivenUp(t *testing.T) {
	t.Parallel()
	p := faulttest.NewPaths(t)
	const lease = 3 * time.Second
	stepped := make(chan struct{}, 2)
	ours, others := p.Mutex(p.Far, lease, lock.WithTrace(&lock.Trace{
		Failed: func(_ queue.Ticket, _ time.Duration, err error) {
			select {
			case stepped <- struct{}{}: // back, out of the line
			default: // the end of the third
			}
		},
	})), p.Mutex(p.Near, faulttest.LongLease)
	faulttest.MustLock(t, ours)
	p.Vanish(t, false)
	<-ours.Lost()
	second := faulttest.Lock(t.Context(), t, ours)
	short, cancel := context.WithCancel(t.Context())
	third := faulttest.Lock(short, t, ours)
	second.StaysBlocked("the first has not given up what it has lost")
	<-stepped
	<-stepped
	next := faulttest.Lock(t.Context(), t, others)
	if err := next.ReturnsWithin(faulttest.Long, "it waits behind a goroutine that cannot use the lock"); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := third.Returned(); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "lost") {
		t.Errorf("Lock returned %v, want that it has waited for a hold that was lost", err)
	}
	token := others.Token()
	if err := ours.Unlock(); !errors.Is(err, lock.ErrLost) {
		t.Errorf("Unlock returned %v, want ErrLost", err)
	}
	second.StaysBlocked("another process owns")
	faulttest.MustUnlock(t, others)
	second.Granted()
	if ours.Token() <= token {
		t.Errorf("token %d comes after %d", ours.Token(), token)
	}
	faulttest.MustUnlock(t, ours)
	faulttest.AwaitEmpty(t, redisqueue.New(p.Near, p.Name))
}

// The client is closed while calls wait. They are told that they wait in vain, soon and
// not when a lease has run out. A later call is told so, too.
func TestK13ClientClosed(t *testing.T) {
	for _, waiters := range []int{1, 200} {
		t.Run(fmt.Sprint(waiters), func(t *testing.T) {
			t.Parallel()
			p := faulttest.NewPaths(t)
			const lease = 10 * time.Minute
			holder := p.Mutex(p.Near, lease)
			faulttest.MustLock(t, holder)
			client := p.Server.Client()
			registered := make(chan struct{}, waiters)
			m := p.Mutex(client, lease, lock.WithTrace(&lock.Trace{
				Registered: func(queue.Ticket) { registered <- struct{}{} },
			}))
			var all []*faulttest.Locking
			for range waiters {
				all = append(all, faulttest.Lock(t.Context(), t, m))
			}
			for range waiters {
				<-registered
			}
			if err := client.Close(); err != nil {
				t.Fatal(err)
			}
			for _, waiting := range append(all, faulttest.Lock(t.Context(), t, m)) {
				if err := waiting.ReturnsWithin(faulttest.Long, "its client is closed"); !errors.Is(err, queue.ErrClosed) {
					t.Fatalf("Lock returned %v, want ErrClosed", err)
				}
			}
			if _, err := m.TryLock(t.Context()); !errors.Is(err, queue.ErrClosed) {
				t.Errorf("TryLock returned %v, want ErrClosed", err)
			}
			faulttest.MustUnlock(t, holder)
		})
	}
}

// The client is closed while the lock is held: it cannot be released any more, and
// Unlock says so at once.
func TestK13ClientClosedByTheHolder(t *testing.T) {
	t.Parallel()
	p := faulttest.NewPaths(t)
	client := p.Server.Client()
	m := p.Mutex(client, 10*time.Minute, lock.WithReleaseTimeout(time.Hour))
	faulttest.MustLock(t, m)
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	unlocked := make(chan error, 1)
	go func() { unlocked <- m.Unlock() }()
	select {
	case err := <-unlocked:
		if !errors.Is(err, queue.ErrClosed) {
			t.Errorf("Unlock returned %v, want ErrClosed", err)
		}
	case <-time.After(faulttest.Long):
		t.Fatalf("Unlock has not returned for %v, with a client that is closed", faulttest.Long)
	}
}
