//go:build linux

package faulttest

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// Script is in every request that a queue sends to a server.
const Script = "evalsha"

// Everything is more requests than a test sees.
const Everything = 1 << 30

// Locking is a call of Lock under way.
type Locking struct {
	t      *testing.T
	mutex  *lock.Mutex
	result chan error
}

// Lock calls Lock in a goroutine of its own.
func Lock(ctx context.Context, t *testing.T, m *lock.Mutex) *Locking {
	l := &Locking{t, m, make(chan error, 1)}
	go func() { l.result <- m.Lock(ctx) }()
	return l
}

// Returned waits until the call returns.
func (l *Locking) Returned() error { return <-l.result }

// Result has what the call returns, once.
func (l *Locking) Result() <-chan error { return l.result }

// ReturnsWithin is Returned, but fails the test after d, which is to be so long
// that only a call that waits for what it must not wait for takes that long.
func (l *Locking) ReturnsWithin(d time.Duration, why string) error {
	l.t.Helper()
	select {
	case err := <-l.result:
		return err
	case <-time.After(d):
		l.t.Fatalf("Lock has not returned for %v: %s", d, why)
		return nil
	}
}

// Granted waits until the call owns the lock.
func (l *Locking) Granted() {
	l.t.Helper()
	if err := <-l.result; err != nil {
		l.t.Fatal(err)
	}
}

// StaysBlocked fails the test if the call returns within a moment.
func (l *Locking) StaysBlocked(why string) {
	l.t.Helper()
	select {
	case err := <-l.result:
		l.t.Fatalf("Lock returned %v with token %d: %s", err, l.mutex.Token(), why)
	case <-time.After(Moment):
	}
}

// Warm has the server know all scripts, so that each request is one of Script.
func Warm(t *testing.T, client redis.UniversalClient) {
	t.Helper()
	const name = "warming-up"
	q := redisqueue.New(client, name)
	first := MustRegister(t, q)
	second := MustRegister(t, q)
	if _, ok, err := q.TryRegister(t.Context()); ok || err != nil {
		t.Fatalf("TryRegister = %t, %v", ok, err)
	}
	for _, call := range []func() error{
		func() error { return q.Refresh(t.Context(), first) },
		func() error { _, err := q.Position(t.Context(), second); return err },
		func() error { _, err := q.IsHead(t.Context(), second); return err },
		func() error { return q.CleanupStale(t.Context()) },
		func() error { _, err := q.IsEmpty(t.Context()); return err },
		func() error { _, err := q.Members(t.Context()); return err },
		func() error { return q.Release(t.Context(), first) },
		func() error { return q.Remove(t.Context(), second) },
		func() error { q.MaybeCleanup(t.Context()); return nil },
	} {
		if err := call(); err != nil {
			t.Fatal(err)
		}
	}
	third, ok, err := q.TryRegister(t.Context())
	if !ok || err != nil {
		t.Fatalf("TryRegister = %t, %v", ok, err)
	}
	MustRelease(t, q, third)
}

// MustRegister takes a ticket.
func MustRegister(t *testing.T, q queue.TicketQueue) queue.Ticket {
	t.Helper()
	ticket, err := q.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

// MustRelease gives a ticket back.
func MustRelease(t *testing.T, q queue.TicketQueue, ticket queue.Ticket) {
	t.Helper()
	if err := queue.Release(t.Context(), q, ticket); err != nil {
		t.Fatal(err)
	}
}

// AwaitSubscriptions waits until so many connections of queues listen for
// wake-ups.
func AwaitSubscriptions(t *testing.T, client *redis.Client, n int) {
	t.Helper()
	for {
		channels, err := client.PubSubChannels(t.Context(), "fifolock:*").Result()
		if err != nil {
			t.Fatal(err)
		}
		if len(channels) == n {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
