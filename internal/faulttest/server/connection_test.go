//go:build linux

package server

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

func TestR07ConnectionsKilled(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	client := server.Client()
	v := faulttest.Disturb(t, harness.Redis(server.Addr, "connections", faulttest.LongLease), testenv.Fewer(150), 20*time.Millisecond, func(ctx context.Context) error {
		return client.Do(ctx, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err()
	})
	if v.LostHolds != 0 || v.Evicted != 0 {
		t.Errorf("%v; want nothing lost", v)
	}
}

// Without the connection that wakes them up, waiters are served all the same,
// and a connection that breaks does not leave anything behind.
func TestR08SubscriptionsKilled(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	client := server.Client()
	v := faulttest.Disturb(t, harness.Redis(server.Addr, "subscriptions", faulttest.LongLease), 12, 50*time.Millisecond, func(ctx context.Context) error {
		return client.Do(ctx, "CLIENT", "KILL", "TYPE", "pubsub").Err()
	})
	if v.Failures != 0 || v.LostHolds != 0 {
		t.Errorf("%v; want that nobody notices", v)
	}
}

// The server is silent for three leases. The holder knows by its own clock that
// it has lost the lock, before the next can have it.
func TestR09ServerSilent(t *testing.T) {
	pause := func(kind string) func(*testing.T, *redistest.Server, time.Duration) {
		return func(t *testing.T, s *redistest.Server, d time.Duration) {
			faulttest.Do(t, s.Client(), fmt.Sprint("CLIENT PAUSE ", d.Milliseconds(), " ", kind))
		}
	}
	for name, silence := range map[string]func(t *testing.T, s *redistest.Server, d time.Duration){
		"CLIENT PAUSE ALL":   pause("ALL"),
		"CLIENT PAUSE WRITE": pause("WRITE"),
		"R10 stopped": func(_ *testing.T, s *redistest.Server, d time.Duration) {
			s.Pause()
			time.AfterFunc(d, s.Resume)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			faulttest.WithLease(t, time.Second, func(lease time.Duration) (told bool) {
				server := redistest.StartServer(t)
				spec := harness.Redis(server.Addr, "silent", lease)
				spec.Timeout = 5 * lease // the waiters get no error
				l := faulttest.NewLine(t, spec, 3)
				silence(t, server, 3*lease)
				lost, _ := faulttest.WantLost(t, l.Workers[0])
				grants, kept := l.DrainKept(t, 1)
				early := faulttest.Since(lost, grants[0])
				t.Logf("the holder knew %v before the next was granted", early)
				l.Check()
				l.CheckNothingIsLeft()
				return kept && early >= 0 // or its clock had no time to say so
			})
		})
	}
}

// The network from the holder alone swallows everything: it knows by its own
// clock that it has lost the lock, before the next gets it.
func TestR16HalfOpen(t *testing.T) {
	t.Parallel()
	faulttest.WithLease(t, 2*time.Second, func(lease time.Duration) (told bool) {
		proxy := redistest.NewProxy(t, redistest.Addr(t))
		spec := faulttest.Redis(t, lease)
		far := spec
		far.Addr = proxy.Addr
		h := harness.New(t, spec)
		h.Tolerant = true
		a, b := h.Start(harness.With(far)), h.Start()
		a.Lock().Granted()
		call := b.StandInLine()
		heal := proxy.BlackHole()
		defer heal()
		lost, granted := a.AwaitKind(0, harness.Lost), call.Granted()
		early := faulttest.Since(lost, granted)
		t.Logf("the holder knew %v before the next was granted", early)
		b.Unlock() // its lease may have run out, too
		if e := a.Unlock(); e.Cause != harness.CauseLost {
			t.Errorf("Unlock returned %q, want ErrLost", e.Error)
		}
		heal()
		h.Check()
		h.CheckNothingIsLeft()
		return early >= 0 // or its clock had no time to say so
	})
}

// The server has no connections left for others. What is
// connected goes on.
func TestR39NoConnectionsLeft(t *testing.T) {
	t.Parallel()
	faulttest.WithLease(t, time.Second, func(lease time.Duration) bool {
		server := redistest.StartServer(t)
		l := faulttest.NewLine(t, harness.Redis(server.Addr, "crowded", lease), 2)
		faulttest.Do(t, server.Client(), "CONFIG SET maxclients 1")
		newcomer := l.Start()
		newcomer.Lock().Cancelled() // the server hangs up; what it says before gets lost now and then
		if !faulttest.KeptFor(l.Harness, 2, 3*lease) || !l.Calls[1].IsBlockedFor(faulttest.Moment) {
			return false
		}
		if !l.UnlockAll(t) {
			return false
		}
		if v := l.Check(); v.LostHolds != 0 || v.Evicted != 0 {
			t.Errorf("%v; want nothing lost", v)
		}
		return true
	})
}

// The only connection of the client's pool is kept by a command of the user's.
// That may cost the lock, as any silence, but not without its owner's knowledge.
func TestR39PoolUsedUp(t *testing.T) {
	t.Parallel()
	redistest.NeedReal(t)
	faulttest.WithLease(t, time.Second, func(lease time.Duration) bool { return r39PoolUsedUp(t, lease) })
}

// r39PoolUsedUp reports whether the owner was told before the next owned.
func r39PoolUsedUp(t *testing.T, lease time.Duration) (told bool) {
	t.Helper()
	client := redistest.Client(t, func(o *redis.Options) { o.PoolSize, o.ReadTimeout = 1, 10*lease })
	name := redistest.Name(t)
	m := lock.New(redisqueue.New(client, name, redisqueue.WithLease(lease)))
	next := lock.New(redisqueue.New(redistest.Client(t), name)) // for which nothing shall run out
	faulttest.MustLock(t, m)
	lost := m.Lost()
	blocking := make(chan error, 1)
	go func() { blocking <- client.BLPop(t.Context(), 4*lease, name+"-other").Err() }()
	faulttest.MustLock(t, next)
	select {
	case <-lost:
		told = true
	default: // its clock had no time to say so, or it does not know
	}
	<-blocking
	if err := m.Unlock(); !errors.Is(err, lock.ErrLost) {
		t.Errorf("Unlock returned %v, want ErrLost", err)
	}
	faulttest.MustUnlock(t, next)
	return told
}

// The server is away for longer than the lease, while the holder works.
func TestR44UnlockWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	faulttest.InTheEnd(t, func() (quick bool) { return unlockWhileTheServerIsAway(t) })
}

func unlockWhileTheServerIsAway(t *testing.T) (quick bool) {
	const lease = 5 * time.Second
	server := redistest.StartServer(t, "--appendonly", "yes")
	spec := harness.Redis(server.Addr, "away", lease)
	spec.Release = 500 * time.Millisecond
	h := harness.New(t, spec)
	h.Tolerant = true
	workers := h.StartAll(3)
	workers[0].Lock().Granted()
	server.Kill()
	began := harness.Event{At: harness.Now()}
	e := workers[0].Unlock()
	if e.Cause == harness.None {
		t.Error("Unlock returned nil, without a server")
	}
	took := faulttest.Since(began, e)
	t.Logf("Unlock took %v with a release timeout of %v: %s", took, spec.Release, e.Error)
	server.Start()
	workers[1].Lock().Granted() // the ticket that stayed behind lapses
	server.Kill()
	workers[1].AwaitKind(0, harness.Lost)
	server.Start()
	workers[2].Lock().Granted()
	if e := workers[1].Unlock(); e.Cause != harness.CauseLost {
		t.Errorf("Unlock returned %q, want ErrLost", e.Error)
	}
	if _, ok := workers[0].TryLock(); ok {
		t.Error("a late Unlock has released the lock of another")
	}
	workers[2].MustUnlock()
	h.Check()
	h.CheckNothingIsLeft()
	return took <= spec.Release+faulttest.Soon
}
