//go:build linux

package call

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// A message for an entry that has vanished does not open the entry that came after
// it:
//
//  1. A holds. B's request is executed: its first entry. The reply is lost.
//  2. A unlocks. The message for B's first entry is slow.
//  3. The entry vanishes. C locks.
//  4. B's request is executed again: its second entry, behind C.
//  5. The message for the first arrives.
//
// B must not own beside C; and it owns after C.
func TestK01MessageForAnEarlierEntry(t *testing.T) {
	t.Parallel()
	for what, leases := range map[string]bool{"all keys vanish": false, "the lease vanishes": true} {
		t.Run(what, func(t *testing.T) {
			p := faulttest.NewPaths(t)
			p.Listen(t, p.Far)
			a, b, c := p.Mutex(p.Near, time.Minute), p.Mutex(p.Far, time.Minute), p.Mutex(p.Near, time.Minute)
			line := redisqueue.New(p.Near, p.Name)

			faulttest.MustLock(t, a)
			p.Proxy.LoseReplies(p.Keys, 1)
			again, send := p.Proxy.DelayRequests(p.Keys, 1)
			waiting := faulttest.Lock(t.Context(), t, b)
			<-again
			faulttest.AwaitLine(t, line, 2)

			told, tell := p.Proxy.DelayReplies("fifolock:")
			faulttest.MustUnlock(t, a)
			<-told

			p.Vanish(t, leases)
			faulttest.MustLock(t, c)
			send()
			for ahead := -1; ahead < 1; { // until B is behind C
				members, err := line.Members(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				ahead = len(members) - 1
			}

			tell()
			waiting.StaysBlocked(fmt.Sprintf("C owns with token %d", c.Token()))
			after := c.Token()
			faulttest.MustUnlock(t, c)
			waiting.Granted()
			if b.Token() <= after {
				t.Errorf("token %d comes after %d", b.Token(), after)
			}
			faulttest.MustUnlock(t, b)
			faulttest.AwaitEmpty(t, line)
		})
	}
}

// A request that arrives late takes an entry that its sender knows nothing of. What
// is said to that entry is not said to the one that the sender has:
//
//  1. A holds. B's request goes astray; it is sent again and executed: B's entry,
//     behind A. B hears of nothing more but messages.
//  2. All keys vanish. C locks: with a greater token than B's.
//  3. The request that went astray is executed, behind C.
//  4. C unlocks: the entry that B does not know of is granted.
//
// B must not own with its old token, which is less than C's was. When it is heard
// again, it comes in with a new one.
func TestK02MessageForALateEntry(t *testing.T) {
	t.Parallel()
	p := faulttest.NewPaths(t)
	p.Listen(t, p.Far)
	const lease = 5 * time.Second
	a, b, c := p.Mutex(p.Near, lease), p.Mutex(p.Far, lease), p.Mutex(p.Near, lease)
	line := redisqueue.New(p.Near, p.Name)

	faulttest.MustLock(t, a)
	_, deliver := p.Proxy.DivertRequest(p.Keys)
	waiting := faulttest.Lock(t.Context(), t, b)
	faulttest.AwaitLine(t, line, 2)
	cut, heal := p.Proxy.DelayRequests(p.Keys, faulttest.Everything)
	<-cut // it has its ticket, and looks

	p.Vanish(t, false)
	faulttest.MustLock(t, c)
	deliver()
	after := c.Token()
	faulttest.MustUnlock(t, c)
	waiting.StaysBlocked(fmt.Sprintf("the lock was held with token %d", after))

	heal()
	waiting.Granted()
	if b.Token() <= after {
		t.Errorf("token %d comes after %d", b.Token(), after)
	}
	faulttest.MustUnlock(t, b)
	if err := a.Unlock(); !errors.Is(err, lock.ErrLost) {
		t.Errorf("Unlock of A returned %v, want ErrLost", err)
	}
	faulttest.AwaitEmpty(t, line)
}

// A server that has become a replica answers nothing, from whatever it remembers:
//
//  1. A request is executed: a ticket, which is the head. The reply is lost.
//  2. The server becomes a replica.
//  3. The request is executed again.
func TestK03RepeatedOnAReplica(t *testing.T) {
	for what, call := range map[string]func(t *testing.T, m *lock.Mutex) (bool, error){
		"TryLock": func(t *testing.T, m *lock.Mutex) (bool, error) { return m.TryLock(t.Context()) },
		"Lock":    func(t *testing.T, m *lock.Mutex) (bool, error) { return true, m.Lock(t.Context()) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := faulttest.NewPaths(t)
			const lease = time.Second
			m := p.Mutex(p.Far, lease)
			p.Proxy.LoseReplies(p.Keys, 1)
			again, send := p.Proxy.DelayRequests(p.Keys, 1)
			type result struct {
				ok  bool
				err error
			}
			results := make(chan result, 1)
			go func() {
				ok, err := call(t, m)
				results <- result{ok, err}
			}()
			<-again
			faulttest.Do(t, p.Near, "REPLICAOF 127.0.0.1 1")
			send()
			r := <-results
			if r.err == nil || !strings.Contains(r.err.Error(), "READONLY") {
				t.Errorf("%s of a replica returned %t, %v; want READONLY", what, r.ok, r.err)
			}
			faulttest.Do(t, p.Near, "REPLICAOF NO ONE")
			if r.err == nil {
				_ = m.Unlock()
			}
			// What could not be taken back has run out with its lease.
			next := p.Mutex(p.Near, lease)
			faulttest.MustLock(t, next)
			faulttest.MustUnlock(t, next)
		})
	}
}

// refusals is a hook of a client that counts the errors of a server that begin with
// a text.
type refusals struct {
	text  string
	count *atomic.Int32
}

func (refusals) DialHook(next redis.DialHook) redis.DialHook { return next }

func (r refusals) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		r.note(err)
		return err
	}
}

func (r refusals) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			r.note(cmd.Err())
		}
		return err
	}
}

func (r refusals) note(err error) {
	if redis.HasErrorPrefix(err, r.text) {
		r.count.Add(1)
	}
}

// A ticket of which its owner knows nothing is taken back, also from a server that
// is busy for a while:
//
//  1. TryLock's request is executed: a ticket, which is the head. The reply is lost.
//  2. Another client's script keeps the server busy.
//  3. What is sent now is refused: the request, and the attempts to take it back.
//  4. The script ends.
//
// A TryLock that has failed has left nothing.
func TestK05GivenUpAtABusyServer(t *testing.T) {
	t.Parallel()
	const enough = 4 // refusals
	p := faulttest.NewPaths(t, "--lua-time-limit", "20")
	looping := p.Server.Client(func(o *redis.Options) { o.ReadTimeout = time.Minute })
	var refused atomic.Int32
	p.Far.AddHook(refusals{"BUSY", &refused})
	m := p.Mutex(p.Far, time.Minute)

	p.Proxy.LoseReplies(p.Keys, 1)
	again, send := p.Proxy.DelayRequests(p.Keys, 1)
	var ok bool
	tried := make(chan error, 1)
	go func() {
		var err error
		ok, err = m.TryLock(t.Context())
		tried <- err
	}()
	<-again
	loop := make(chan error, 1)
	go func() { loop <- looping.Eval(t.Context(), "while true do end", nil).Err() }()
	for !redis.HasErrorPrefix(p.Near.Ping(t.Context()).Err(), "BUSY") {
		time.Sleep(time.Millisecond)
	}
	send()
	var err error
	for done := false; !done && refused.Load() < enough; {
		select {
		case err = <-tried:
			done = true
			tried <- err
		case <-time.After(time.Millisecond):
		}
	}
	if err := p.Near.ScriptKill(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	<-loop
	if err = <-tried; err == nil && ok {
		faulttest.MustUnlock(t, m)
	}
	t.Logf("TryLock returned %t, %v after %d refusals", ok, err, refused.Load())
	if empty, err := redisqueue.New(p.Near, p.Name).IsEmpty(t.Context()); !empty || err != nil {
		t.Errorf("a ticket is left in line, %v", err)
	}
}

// A ticket that is not in line is not another one that looks like it.
func TestK06TicketThatLooksLikeAnother(t *testing.T) {
	client := redistest.Client(t)
	q := redisqueue.New(client, redistest.Name(t))
	head := faulttest.MustRegister(t, q)
	for what, call := range map[string]func(context.Context, queue.Ticket) error{
		"Remove":  q.Remove,
		"Release": q.Release,
		"Refresh": q.Refresh,
		"IsHead":  func(ctx context.Context, t queue.Ticket) error { _, err := q.IsHead(ctx, t); return err },
	} {
		for name, member := range map[string]string{
			"another number": strings.Replace(head.Member, fmt.Sprint(head.Number), fmt.Sprint(head.Number+1), 1),
			"another time":   head.Member + "0",
		} {
			t.Run(what+" of "+name, func(t *testing.T) {
				other := head
				other.Member = member
				if name == "another number" {
					other.Number++
				}
				if err := call(t.Context(), other); !errors.Is(err, queue.ErrNotQueued) {
					t.Errorf("%s returned %v, want ErrNotQueued", what, err)
				}
				members, err := q.Members(t.Context())
				if err != nil || len(members) != 1 || members[0].Dead {
					t.Fatalf("the line is %+v, %v; want the head, alive", members, err)
				}
			})
		}
	}
	if err := q.Refresh(t.Context(), head); err != nil {
		t.Error(err)
	}
	if err := q.Release(t.Context(), head); err != nil {
		t.Error(err)
	}
}

// An entry that its sender does not know of goes when the sender leaves:
//
//  1. B's request goes astray; it is sent again and executed: B owns.
//  2. B's ticket vanishes: all keys, or its lease alone.
//  3. The request that went astray is executed: an entry that B does not know of.
//  4. B leaves.
//
// The next one need not wait for a lease, and nothing is left for two.
func TestK06WhatALateRequestLeaves(t *testing.T) {
	for what, leases := range map[string]bool{"all keys vanish": false, "the lease vanishes": true} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := faulttest.NewPaths(t)
			b, c := p.Mutex(p.Far, time.Minute), p.Mutex(p.Near, time.Minute)
			_, deliver := p.Proxy.DivertRequest(p.Keys)
			faulttest.MustLock(t, b)
			p.Vanish(t, leases)
			deliver()
			if err := b.Unlock(); !errors.Is(err, lock.ErrLost) {
				t.Errorf("Unlock returned %v, want ErrLost", err)
			}
			for end := time.Now().Add(faulttest.Long); p.InUse(t); time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("left behind: %q", redistest.Keys(t, p.Near, p.Name))
				}
			}
			if ok, err := c.TryLock(t.Context()); !ok || err != nil {
				t.Fatalf("TryLock = %t, %v", ok, err)
			}
			faulttest.MustUnlock(t, c)
		})
	}
}
