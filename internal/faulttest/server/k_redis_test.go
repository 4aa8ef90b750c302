//go:build linux

package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// The server's clock is set back when 2,500 have died in line: by that clock their
// leases have an hour to go. The one behind them owns after one lease, not after
// one for each thousand.
func TestK08ClockSetBackForManyDead(t *testing.T) {
	t.Parallel()
	faulttest.WithLease(t, 3*time.Second, func(lease time.Duration) bool { return k08ManyDead(t, lease) })
}

// k08ManyDead reports whether all of the dead have cost two leases at most.
func k08ManyDead(t *testing.T, lease time.Duration) bool {
	t.Helper()
	const dead = 2500
	server, clock := startWithClock(t)
	clock.set(time.Hour)
	q := redisqueue.New(server.Client(), "clock", redisqueue.WithLease(lease))
	for range dead {
		faulttest.MustRegister(t, q)
	}
	clock.set(0)
	began := time.Now()
	m := lock.New(redisqueue.New(server.Client(), "clock"))
	faulttest.MustLock(t, m)
	took := time.Since(began)
	t.Logf("owns after %v, with leases of %v", took, lease)
	faulttest.MustUnlock(t, m)
	return took <= 2*lease
}

// A server has not done what it has refused, also when it is sent again:
//
//  1. A holds. Its release is refused by a server that has become a replica.
//  2. The server is a primary again, without A's ticket. C locks.
//  3. A's release is sent again: its ticket is not there.
//
// A has lost the lock, and is told.
func TestK10ReleaseRefusedThenGone(t *testing.T) {
	p := faulttest.NewPaths(t)
	a, c := p.Mutex(p.Far, time.Minute), p.Mutex(p.Near, time.Minute)
	faulttest.MustLock(t, a)
	first, sendFirst := p.Proxy.DelayRequests(p.Keys, 1)
	second, sendSecond := p.Proxy.DelayRequests(p.Keys, 1)
	unlocked := make(chan error, 1)
	go func() { unlocked <- a.Unlock() }()
	<-first
	faulttest.Do(t, p.Near, "REPLICAOF 127.0.0.1 1")
	sendFirst()
	<-second
	faulttest.Do(t, p.Near, "REPLICAOF NO ONE")
	p.Vanish(t, false)
	faulttest.MustLock(t, c)
	sendSecond()
	if err := <-unlocked; !errors.Is(err, lock.ErrLost) {
		t.Errorf("Unlock returned %v, want ErrLost", err)
	}
	faulttest.MustUnlock(t, c)
}

// A release that was refused and is then executed has released.
func TestK10ReleaseRefusedThenDone(t *testing.T) {
	p := faulttest.NewPaths(t)
	a, c := p.Mutex(p.Far, time.Minute), p.Mutex(p.Near, time.Minute)
	faulttest.MustLock(t, a)
	waiting := faulttest.Lock(t.Context(), t, c)
	faulttest.AwaitLine(t, redisqueue.New(p.Near, p.Name), 2)
	first, sendFirst := p.Proxy.DelayRequests(p.Keys, 1)
	second, sendSecond := p.Proxy.DelayRequests(p.Keys, 1)
	unlocked := make(chan error, 1)
	go func() { unlocked <- a.Unlock() }()
	<-first
	faulttest.Do(t, p.Near, "REPLICAOF 127.0.0.1 1")
	sendFirst()
	<-second
	faulttest.Do(t, p.Near, "REPLICAOF NO ONE")
	sendSecond()
	if err := <-unlocked; err != nil {
		t.Errorf("Unlock returned %v", err)
	}
	waiting.Granted()
	faulttest.MustUnlock(t, c)
}

// A release that was never sent, because no connection could be made, has done
// nothing either:
//
//  1. A holds. Its release finds no connection, again and again.
//  2. A's ticket vanishes. C locks.
//  3. A's release is sent: its ticket is not there.
func TestK10ReleaseNeverSent(t *testing.T) {
	p := faulttest.NewPaths(t)
	var refused atomic.Int32
	var refusing atomic.Bool
	client := p.Server.Client(func(o *redis.Options) {
		o.ConnMaxLifetime, o.DialerRetries = time.Nanosecond, 1 // each request needs a new connection
		o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if refusing.Load() {
				refused.Add(1)
				return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		}
	})
	a, c := p.Mutex(client, time.Minute), p.Mutex(p.Near, time.Minute)
	faulttest.MustLock(t, a)
	refusing.Store(true)
	unlocked := make(chan error, 1)
	go func() { unlocked <- a.Unlock() }()
	for refused.Load() < 3 {
		time.Sleep(time.Millisecond)
	}
	p.Vanish(t, false)
	faulttest.MustLock(t, c)
	refusing.Store(false)
	if err := <-unlocked; !errors.Is(err, lock.ErrLost) {
		t.Errorf("Unlock returned %v, want ErrLost", err)
	}
	faulttest.MustUnlock(t, c)
}

// The lease of a dead owner has no end: it was taken off, or the keys were copied
// without their times to live. It lasts as long as it was made, from when it is
// first seen.
func TestK11LeaseWithoutAnEnd(t *testing.T) {
	const name, lease = "eternal", 3 * time.Second
	for what, endless := range map[string]func(t *testing.T, server *redistest.Server) *redistest.Server{
		"PERSIST": func(t *testing.T, server *redistest.Server) *redistest.Server {
			client := server.Client()
			for _, key := range redistest.Keys(t, client, name) {
				if ok, err := client.Persist(t.Context(), key).Result(); !ok || err != nil {
					t.Fatalf("PERSIST %s: %t, %v", key, ok, err)
				}
			}
			return server
		},
		"RESTORE": func(t *testing.T, server *redistest.Server) *redistest.Server {
			client, copied := server.Client(), redistest.StartServer(t)
			for _, key := range redistest.Keys(t, client, name) {
				dump, err := client.Dump(t.Context(), key).Result()
				if err != nil {
					t.Fatal(err)
				}
				if err := copied.Client().Restore(t.Context(), key, 0, dump).Err(); err != nil {
					t.Fatal(err)
				}
			}
			return copied
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			server := redistest.StartServer(t)
			q := redisqueue.New(server.Client(), name, redisqueue.WithLease(lease))
			for range 2 { // a holder and a waiter, which are never heard of again
				faulttest.MustRegister(t, q)
			}
			server = endless(t, server)
			m := lock.New(redisqueue.New(server.Client(), name))
			if err := faulttest.Lock(t.Context(), t, m).ReturnsWithin(faulttest.Long, "it is behind the dead"); err != nil {
				t.Fatal(err)
			}
			faulttest.MustUnlock(t, m)
		})
	}
}

// The lease of a living owner has no end any more. It keeps its place, and its
// lease ends again.
func TestK11LivingOwner(t *testing.T) {
	client := redistest.Client(t)
	name := redistest.Name(t)
	q := redisqueue.New(client, name)
	head, second := faulttest.MustRegister(t, q), faulttest.MustRegister(t, q)
	for _, key := range redistest.Keys(t, client, name) {
		client.Persist(t.Context(), key)
	}
	if place, err := q.Position(t.Context(), second); err != nil || place.Ahead != 1 {
		t.Errorf("Position of the second returned %+v, %v", place, err)
	}
	for _, ticket := range []queue.Ticket{head, second} {
		if err := q.Refresh(t.Context(), ticket); err != nil {
			t.Error(err)
		}
	}
	for _, key := range redistest.Keys(t, client, name) {
		if ttl := client.PTTL(t.Context(), key).Val(); ttl < 0 {
			t.Errorf("%s has no end", key)
		}
	}
}

// A ticket keeps its own lease, whatever queue it is refreshed through, and whatever
// the caller knows of it.
func TestK18RefreshThroughAnotherQueue(t *testing.T) {
	client := redistest.Client(t)
	name := redistest.Name(t)
	const lease, shorter = 10 * time.Minute, 80 * time.Millisecond
	owner := redisqueue.New(client, name, redisqueue.WithLease(lease))
	ticket := faulttest.MustRegister(t, owner)
	other := redisqueue.New(client, name, redisqueue.WithLease(shorter))
	bare := queue.Ticket{Number: ticket.Number, Member: ticket.Member}
	short := ticket
	short.Lease = shorter
	for what, same := range map[string]queue.Ticket{"as it is": ticket, "without its lease": bare, "with another lease": short} {
		if err := other.Refresh(t.Context(), same); err != nil {
			t.Errorf("Refresh of the ticket %s: %v", what, err)
		}
		keys := redistest.Keys(t, client, name)
		if len(keys) < 3 {
			t.Fatalf("%s: there are only %q", what, keys)
		}
		for _, key := range keys {
			if left := client.PTTL(t.Context(), key).Val(); left >= 0 && left < lease/2 {
				t.Errorf("%s: %s ends in %v", what, key, left)
			}
		}
	}
	if err := owner.Release(t.Context(), ticket); err != nil {
		t.Error(err)
	}
}

// What is no ticket stays in the ZSET: while the queue is used, when it is empty,
// and when its owners have died.
func TestK19ForeignEntriesStay(t *testing.T) {
	t.Parallel()
	const lease = 50 * time.Millisecond
	client := redistest.Client(t)
	name := redistest.Name(t)
	key := "{" + name + "}:queue"
	t.Cleanup(func() { client.Del(t.Context(), key) })
	q := redisqueue.New(client, name, redisqueue.WithLease(lease))
	foreign := redis.Z{Score: 1, Member: "what is this"}
	stays := func(when string) {
		t.Helper()
		time.Sleep(10 * lease) // any time to live is over
		if n, err := client.ZScore(t.Context(), key, foreign.Member.(string)).Result(); err != nil || n != foreign.Score {
			t.Errorf("%s, the foreign entry is gone: %v", when, err)
		}
		client.ZAdd(t.Context(), key, foreign)
	}
	client.ZAdd(t.Context(), key, foreign)
	use := func() {
		t.Helper()
		err := q.Release(t.Context(), faulttest.MustRegister(t, q))
		if err != nil && !errors.Is(err, queue.ErrNotQueued) { // its lease is short
			t.Fatal(err)
		}
	}
	use()
	stays("when it has been released")
	faulttest.MustRegister(t, q)
	stays("when the owner has died")
	use()
	stays("when the next has been released")
}

// Foreign entries, more than a page of them, have the holder's score. It is listed
// all the same, and so is the one behind it.
func TestK20MembersBetweenForeignEntries(t *testing.T) {
	client := redistest.Client(t)
	for _, foreign := range []int{199, 200, 201, 450} {
		name := redistest.Name(t)
		q := redisqueue.New(client, name)
		tickets := []queue.Ticket{faulttest.MustRegister(t, q), faulttest.MustRegister(t, q)}
		var entries []redis.Z
		for i := range foreign { // they sort before every number
			entries = append(entries, redis.Z{Score: float64(tickets[0].Number), Member: fmt.Sprintf("!%d", i)})
		}
		if err := client.ZAdd(t.Context(), "{"+name+"}:queue", entries...).Err(); err != nil {
			t.Fatal(err)
		}
		members, err := q.Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var numbers []int64
		for _, m := range members {
			numbers = append(numbers, m.Ticket.Number)
		}
		if want := []int64{tickets[0].Number, tickets[1].Number}; !slices.Equal(numbers, want) {
			t.Errorf("%d foreign entries: Members lists %d, want %d", foreign, numbers, want)
		}
		client.Del(t.Context(), redistest.Keys(t, client, name)...)
	}
}

// seq says more than the clock. Tokens go on from there, also when the queue was
// empty, and everything was cleaned up.
func TestK21SeqAheadOfTheClock(t *testing.T) {
	const ahead int64 = 4_000_000_000_000_000
	client := redistest.Client(t)
	name := redistest.Name(t)
	seq := "{" + name + "}:seq"
	t.Cleanup(func() { client.Del(t.Context(), seq) })
	if err := client.Set(t.Context(), seq, ahead, 0).Err(); err != nil {
		t.Fatal(err)
	}
	q := redisqueue.New(client, name)
	token := int64(ahead)
	for name, leave := range map[string]func(ticket queue.Ticket) error{
		"Release": func(ticket queue.Ticket) error { return q.Release(t.Context(), ticket) },
		"Remove, MaybeCleanup": func(ticket queue.Ticket) error {
			err := q.Remove(t.Context(), ticket)
			q.MaybeCleanup(t.Context())
			return err
		},
		"Release of the last of two": func(ticket queue.Ticket) error {
			second := faulttest.MustRegister(t, q)
			return errors.Join(q.Release(t.Context(), ticket), q.Release(t.Context(), second))
		},
		"TryRegister": func(ticket queue.Ticket) error {
			if err := q.Release(t.Context(), ticket); err != nil {
				return err
			}
			second, ok, err := q.TryRegister(t.Context())
			if err != nil || !ok || second.Number <= ticket.Number {
				t.Errorf("TryRegister = %+v, %t, %v", second, ok, err)
			}
			return q.Release(t.Context(), second)
		},
	} {
		for range 3 {
			ticket := faulttest.MustRegister(t, q)
			if ticket.Number <= token {
				t.Errorf("%s: %d comes after %d", name, ticket.Number, token)
			}
			token = ticket.Number
			if err := leave(ticket); err != nil {
				t.Fatal(err)
			}
		}
	}
	// It does not stay for ever where the queue is not used.
	if keys := redistest.Keys(t, client, name); len(keys) > 1 || len(keys) == 1 && !strings.HasSuffix(keys[0], ":seq") {
		t.Errorf("left behind: %q", keys)
	}
}
