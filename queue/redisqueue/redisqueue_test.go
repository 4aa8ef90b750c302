package redisqueue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// pause is how long a test waits before it looks again.
const pause = 5 * time.Millisecond

func mustRegister(t *testing.T, q queue.TicketQueue) queue.Ticket {
	t.Helper()
	ticket, err := q.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

func wantHead(t *testing.T, q queue.TicketQueue, ticket queue.Ticket) {
	t.Helper()
	if head, err := q.IsHead(t.Context(), ticket); err != nil || !head {
		t.Fatalf("IsHead of ticket %d = %v, %v; want true", ticket.Number, head, err)
	}
}

func mustRelease(t *testing.T, q queue.TicketQueue, ticket queue.Ticket) {
	t.Helper()
	if err := queue.Release(t.Context(), q, ticket); err != nil {
		t.Fatal(err)
	}
}

func wantNotQueued(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, queue.ErrNotQueued) {
		t.Fatalf("got %v; want ErrNotQueued", err)
	}
}

func wantEmpty(t *testing.T, q queue.TicketQueue) {
	t.Helper()
	if empty, err := q.IsEmpty(t.Context()); err != nil || !empty {
		t.Fatalf("IsEmpty = %v, %v; want true", empty, err)
	}
}

func members(t *testing.T, q queue.TicketQueue) []queue.Member {
	t.Helper()
	list, err := queue.Members(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// awaitDead waits until so many members of a line are dead.
func awaitDead(t *testing.T, q queue.TicketQueue, n int) {
	t.Helper()
	for {
		dead := 0
		for _, m := range members(t, q) {
			if m.Dead {
				dead++
			}
		}
		if dead >= n {
			return
		}
		time.Sleep(pause)
	}
}

// plantDead puts n tickets in line that have no lease, numbered from the given
// number.
func plantDead(t *testing.T, client *redis.Client, name string, from int64, n int) {
	t.Helper()
	dead := make([]redis.Z, n)
	for i := range dead {
		number := from + int64(i)
		dead[i] = redis.Z{Score: float64(number), Member: fmt.Sprintf("%d:nobody.%d:1", number, number)}
	}
	if err := client.ZAdd(t.Context(), "{"+name+"}:queue", dead...).Err(); err != nil {
		t.Fatal(err)
	}
}

// The layout that is promised, and that nothing of it is left.
func TestKeys(t *testing.T) {
	client, name := redistest.Client(t), redistest.Name(t)
	q := redisqueue.New(client, name)
	a, b := mustRegister(t, q), mustRegister(t, q)
	if b.Number <= a.Number || a.Ahead != 0 || b.Ahead != 1 {
		t.Fatalf("got tickets %+v and %+v", a, b)
	}
	entries, err := client.ZRangeWithScores(t.Context(), "{"+name+"}:queue", 0, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 || entries[0].Member != a.Member || entries[1].Member != b.Member ||
		int64(entries[0].Score) != a.Number || int64(entries[1].Score) != b.Number {
		t.Errorf("the ZSET holds %v", entries)
	}
	if fields := strings.Split(a.Member, ":"); len(fields) != 3 || fields[0] != fmt.Sprint(a.Number) {
		t.Errorf("the entry is %q; want number:token:milliseconds", a.Member)
	}
	if seq := client.Get(t.Context(), "{"+name+"}:seq").Val(); seq != fmt.Sprint(b.Number) {
		t.Errorf("seq = %q; want %d", seq, b.Number)
	}
	for _, key := range redistest.Keys(t, client, name) {
		if left := client.PTTL(t.Context(), key).Val(); left <= 0 {
			t.Errorf("%s lives %v; want a time to live", key, left)
		}
	}
	for _, ticket := range []queue.Ticket{a, b} {
		if err := q.Remove(t.Context(), ticket); err != nil {
			t.Fatal(err)
		}
	}
	q.MaybeCleanup(t.Context())
	if keys := redistest.Keys(t, client, name); len(keys) != 0 {
		t.Errorf("%q are left after MaybeCleanup", keys)
	}
	mustRelease(t, q, mustRegister(t, q))
	if keys := redistest.Keys(t, client, name); len(keys) != 0 {
		t.Errorf("%q are left after Release", keys)
	}
}

func TestBadArguments(t *testing.T) {
	client := redistest.Client(t)
	var none *redis.Client
	for what, q := range map[string]*redisqueue.Queue{
		"the client is nil": redisqueue.New(nil, "x"),
		"client is nil":     redisqueue.New(none, "x"),
		"the name is empty": redisqueue.New(client, ""),
		"contains a brace":  redisqueue.New(client, "a{b"),
		"without { and }":   redisqueue.New(client, "a}b"),
		"513 bytes":         redisqueue.New(client, strings.Repeat("x", 513)),
		"lease 0s":          redisqueue.New(client, "x", redisqueue.WithLease(0)),
		"lease -1s":         redisqueue.New(client, "x", redisqueue.WithLease(-time.Second)),
		"lease 9.9ms":       redisqueue.New(client, "x", redisqueue.WithLease(9900*time.Microsecond)),
	} {
		t.Run(what, func(t *testing.T) {
			for call, f := range calls(q, queue.Ticket{Number: 1, Member: "1:a.b:1"}) {
				if err := f(t.Context()); err == nil || !strings.Contains(err.Error(), what) {
					t.Errorf("%s: %v; want an error with %q", call, err, what)
				}
			}
			q.MaybeCleanup(t.Context())
		})
	}
}

// calls are all that return an error.
func calls(q *redisqueue.Queue, ticket queue.Ticket) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Register":     func(ctx context.Context) error { _, err := q.Register(ctx); return err },
		"TryRegister":  func(ctx context.Context) error { _, _, err := q.TryRegister(ctx); return err },
		"IsHead":       func(ctx context.Context) error { _, err := q.IsHead(ctx, ticket); return err },
		"Position":     func(ctx context.Context) error { _, err := q.Position(ctx, ticket); return err },
		"Refresh":      func(ctx context.Context) error { return q.Refresh(ctx, ticket) },
		"Remove":       func(ctx context.Context) error { return q.Remove(ctx, ticket) },
		"Release":      func(ctx context.Context) error { return q.Release(ctx, ticket) },
		"CleanupStale": q.CleanupStale,
		"IsEmpty":      func(ctx context.Context) error { _, err := q.IsEmpty(ctx); return err },
		"Members":      func(ctx context.Context) error { _, err := q.Members(ctx); return err },
		"Watch": func(ctx context.Context) error {
			_, stop, err := q.Watch(ctx, ticket)
			stop()
			return err
		},
	}
}

func TestCanceled(t *testing.T) {
	client, name := redistest.Client(t), redistest.Name(t)
	q := redisqueue.New(client, name)
	held := mustRegister(t, q)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for call, f := range calls(q, held) {
		if err := f(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), q.String()) {
			t.Errorf("%s: %v; want context.Canceled and the queue's name", call, err)
		}
	}
	if list := members(t, q); len(list) != 1 {
		t.Errorf("the line is %v after calls with a ctx that was done", list)
	}
	mustRelease(t, q, held)
}

// Names are bytes; each is a queue of its own.
func TestNames(t *testing.T) {
	client, suffix := redistest.Client(t), redistest.Name(t)
	for _, name := range []string{":", "seq", "a b", "\r\n", "\x00", "\xff\xfe", "é", "e\u0301", "%s", strings.Repeat("n", 400)} {
		q := redisqueue.New(client, name+suffix)
		ticket := mustRegister(t, q)
		if ticket.Ahead != 0 {
			t.Errorf("name %q: %d ahead in a new queue", name, ticket.Ahead)
		}
		defer mustRelease(t, q, ticket)
		wantHead(t, q, ticket)
	}
}

// A ticket that cannot be one of this queue is not in line, and nothing else is
// touched.
func TestNotATicket(t *testing.T) {
	q := redisqueue.New(redistest.Client(t), redistest.Name(t))
	held := mustRegister(t, q)
	other := held
	other.Number++
	for _, ticket := range []queue.Ticket{{}, other, {Number: 1}, {Number: 1, Member: "1"}, {Number: 1, Member: "1::1"},
		{Number: 1, Member: "+1:a:1"}, {Number: 1, Member: "1:nobody:1"}, {Number: -1, Member: "-1:a:1"}} {
		_, err := q.IsHead(t.Context(), ticket)
		wantNotQueued(t, err)
		wantNotQueued(t, q.Refresh(t.Context(), ticket))
		wantNotQueued(t, q.Remove(t.Context(), ticket))
		wantNotQueued(t, q.Release(t.Context(), ticket))
	}
	wantHead(t, q, held)
	mustRelease(t, q, held)
}

// Two hundred waiters die; the one behind them is the head as soon as the
// holder has left, and they are gone.
func TestDeadWaiters(t *testing.T) {
	t.Parallel()
	client, name := redistest.Client(t), redistest.Name(t)
	q := redisqueue.New(client, name)
	dying := redisqueue.New(client, name, redisqueue.WithLease(50*time.Millisecond))
	holder := mustRegister(t, q)
	for range 200 {
		mustRegister(t, dying)
	}
	last := mustRegister(t, q)
	awaitDead(t, q, 200)
	mustRelease(t, q, holder)
	if n := client.ZCard(t.Context(), "{"+name+"}:queue").Val(); n != 1 {
		t.Errorf("%d entries after the release; want only the living", n)
	}
	wantHead(t, q, last)
	mustRelease(t, q, last)
}

// More dead than one call removes: each operation goes on until it is through.
func TestManyDead(t *testing.T) {
	t.Parallel()
	client := redistest.Client(t)
	for what, operation := range map[string]func(t *testing.T, q *redisqueue.Queue){
		"Register": func(t *testing.T, q *redisqueue.Queue) {
			if ticket := mustRegister(t, q); ticket.Ahead != 0 {
				t.Errorf("%d ahead of the only one alive", ticket.Ahead)
			}
		},
		"TryRegister": func(t *testing.T, q *redisqueue.Queue) {
			if _, ok, err := q.TryRegister(t.Context()); err != nil || !ok {
				t.Errorf("TryRegister = %v, %v; want true", ok, err)
			}
		},
		"CleanupStale": func(t *testing.T, q *redisqueue.Queue) {
			if err := q.CleanupStale(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantEmpty(t, q)
		},
	} {
		t.Run(what, func(t *testing.T) {
			name := redistest.Name(t)
			const dead = 2500
			plantDead(t, client, name, 1, dead)
			q := redisqueue.New(client, name)
			if list := members(t, q); len(list) != dead || !list[2000].Dead || list[2000].Ticket.Number != 2001 {
				t.Errorf("%d members listed; want %d", len(list), dead)
			}
			operation(t, q)
			if n := client.ZCard(t.Context(), "{"+name+"}:queue").Val(); n > 1 {
				t.Errorf("%d entries are left", n)
			}
			client.Del(t.Context(), redistest.Keys(t, client, name)...)
		})
	}
}

// A living waiter keeps its place for many leases.
func TestPatientWaiter(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	for lease := 200 * time.Millisecond; !patientWaiter(t, lease); lease *= 3 {
		t.Logf("this machine was busy for longer than a lease of %v", lease)
	}
}

// patientWaiter reports false if its tickets were not refreshed in time.
func patientWaiter(t *testing.T, lease time.Duration) bool {
	client, name := redistest.Client(t), redistest.Name(t)
	q := redisqueue.New(client, name, redisqueue.WithLease(lease))
	began := time.Now()
	holder, waiter := mustRegister(t, q), mustRegister(t, q)
	if holder.Lease != lease {
		t.Errorf("the ticket has a lease of %v, want %v", holder.Lease, lease)
	}
	last := began // time at which both were refreshed
	inTime := func(err error) bool {
		t.Helper()
		late := errors.Is(err, queue.ErrNotQueued) && time.Since(last) >= lease
		if err != nil && !late {
			t.Fatal(err)
		}
		return !late
	}
	for time.Since(began) < 4*lease {
		beat := time.Now()
		if !inTime(q.Refresh(t.Context(), holder)) || !inTime(q.Refresh(t.Context(), waiter)) {
			return false
		}
		last = beat
		if err := q.CleanupStale(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lease / 20)
	}
	if !inTime(q.Release(t.Context(), holder)) {
		return false
	}
	head, err := q.IsHead(t.Context(), waiter)
	if inTime(err) && !head {
		t.Error("the waiter has lost its place")
	}
	return inTime(q.Release(t.Context(), waiter))
}

// A ticket with a lease that has run out never comes back.
func TestLeaseRunsOut(t *testing.T) {
	client, name := redistest.Client(t), redistest.Name(t)
	q := redisqueue.New(client, name, redisqueue.WithLease(30*time.Millisecond))
	// One with a longer lease was there, so that the line outlasts the ticket for
	// long enough to be looked at.
	before := mustRegister(t, redisqueue.New(client, name))
	ticket := mustRegister(t, q)
	client.ZRem(t.Context(), "{"+name+"}:queue", before.Member)
	awaitDead(t, q, 1)
	wantNotQueued(t, q.Refresh(t.Context(), ticket))
	_, err := q.IsHead(t.Context(), ticket)
	wantNotQueued(t, err)
	next := mustRegister(t, redisqueue.New(client, name))
	if next.Ahead != 0 {
		t.Errorf("%d ahead, all of them dead", next.Ahead)
	}
	wantNotQueued(t, q.Release(t.Context(), ticket))
	wantHead(t, q, next)
	mustRelease(t, q, next)
	client.Del(t.Context(), redistest.Keys(t, client, name)...)
}

// When the server's clock was set back, every lease has as much longer to go. A look
// makes them as long again as they were made, and touches none that has not longer to go
// than that.
func TestOverlongLeases(t *testing.T) {
	client, name := redistest.Client(t), redistest.Name(t)
	q := redisqueue.New(client, name, redisqueue.WithLease(2*time.Hour))
	const lease = time.Minute
	brief := redisqueue.New(client, name, redisqueue.WithLease(lease))
	tickets := []queue.Ticket{mustRegister(t, brief), mustRegister(t, brief), mustRegister(t, q)}
	left := func(ticket queue.Ticket) time.Duration {
		d, err := client.PTTL(t.Context(), leaseKey(name, ticket)).Result()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	last := tickets[2]
	for what, look := range map[string]func() error{
		"Position":     func() error { _, err := q.Position(t.Context(), last); return err },
		"TryRegister":  func() error { _, _, err := q.TryRegister(t.Context()); return err },
		"CleanupStale": func() error { return q.CleanupStale(t.Context()) },
	} {
		for _, ticket := range tickets[:2] {
			client.PExpire(t.Context(), leaseKey(name, ticket), time.Hour)
		}
		if err := look(); err != nil {
			t.Fatal(err)
		}
		for i, ticket := range tickets {
			if d := left(ticket); d > lease && i < 2 || d < lease/2 {
				t.Errorf("after %s the lease of ticket %d has %v to go", what, i, d)
			}
		}
		client.PExpire(t.Context(), leaseKey(name, tickets[0]), lease/2)
		if err := look(); err != nil {
			t.Fatal(err)
		}
		if d := left(tickets[0]); d > lease/2 {
			t.Errorf("%s has made a lease longer: %v", what, d)
		}
	}
	for _, ticket := range tickets {
		mustRelease(t, q, ticket)
	}
}

// The mark of an abandoned registration is no lease: a ticket that is in line
// all the same is dead.
func TestMarkIsNoLease(t *testing.T) {
	client, name := redistest.Client(t), redistest.Name(t)
	q := redisqueue.New(client, name)
	marked, next := mustRegister(t, q), mustRegister(t, q)
	client.Set(t.Context(), leaseKey(name, marked), "", time.Minute)
	wantNotQueued(t, q.Refresh(t.Context(), marked))
	_, err := q.IsHead(t.Context(), marked)
	wantNotQueued(t, err)
	wantHead(t, q, next)
	mustRelease(t, q, next)
	client.Del(t.Context(), redistest.Keys(t, client, name)...)
}

// Neither a lease without its entry nor an entry without its lease is a ticket,
// and a refresh brings neither back.
func TestHalfGone(t *testing.T) {
	client, name := redistest.Client(t), redistest.Name(t)
	q := redisqueue.New(client, name)
	for what, remove := range map[string]func(queue.Ticket){
		"entry": func(ticket queue.Ticket) { client.ZRem(t.Context(), "{"+name+"}:queue", ticket.Member) },
		"lease": func(ticket queue.Ticket) { client.Del(t.Context(), leaseKey(name, ticket)) },
	} {
		t.Run(what, func(t *testing.T) {
			for _, place := range []int{0, 1} {
				line := []queue.Ticket{mustRegister(t, q), mustRegister(t, q), mustRegister(t, q)}
				gone := line[place]
				remove(gone)
				wantNotQueued(t, q.Refresh(t.Context(), gone))
				_, err := q.Position(t.Context(), gone)
				wantNotQueued(t, err)
				for i, ticket := range line {
					if i != place {
						wantHead(t, q, ticket)
						mustRelease(t, q, ticket)
					}
				}
				wantNotQueued(t, q.Refresh(t.Context(), gone))
				wantEmpty(t, q)
				client.Del(t.Context(), redistest.Keys(t, client, name)...)
			}
		})
	}
}

// The keys that a crash leaves behind expire, but not because of a ticket with a shorter
// lease. An expiry that another program has set or removed is set right.
func TestExpiry(t *testing.T) {
	client, name := redistest.Client(t), redistest.Name(t)
	long := redisqueue.New(client, name, redisqueue.WithLease(time.Hour))
	short := redisqueue.New(client, name, redisqueue.WithLease(20*time.Millisecond))
	shorter := redisqueue.New(client, name, redisqueue.WithLease(time.Minute))
	holder := mustRegister(t, long)
	waiter := mustRegister(t, shorter)
	keys := []string{"{" + name + "}:queue", "{" + name + "}:seq"}
	check := func(when string) {
		t.Helper()
		for _, key := range keys {
			if left := client.PTTL(t.Context(), key).Val(); left < time.Hour || left > 2*time.Hour {
				t.Errorf("%s lives %v %s; want between one and two hours", key, left, when)
			}
		}
	}
	check("after a shorter lease came")
	if err := shorter.Refresh(t.Context(), waiter); err != nil {
		t.Fatal(err)
	}
	check("after a shorter lease was renewed")
	for _, key := range keys {
		client.Persist(t.Context(), key)
	}
	if err := long.Refresh(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	check("after PERSIST")
	for _, key := range keys {
		client.Expire(t.Context(), key, time.Minute)
	}
	if err := long.Refresh(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	check("after EXPIRE")
	client.Del(t.Context(), redistest.Keys(t, client, name)...)

	mustRegister(t, short)
	for len(redistest.Keys(t, client, name)) > 0 {
		time.Sleep(pause)
	}
}

// Keys that have no end, after PERSIST or a copy, get that of the longest lease in line,
// whichever ticket comes by first, and wherever the one with that lease stands.
func TestKeysWithoutAnEnd(t *testing.T) {
	client := redistest.Client(t)
	for what, comesBy := range map[string]func(*testing.T, *redisqueue.Queue, queue.Ticket){
		"Refresh": func(t *testing.T, q *redisqueue.Queue, ticket queue.Ticket) {
			if err := q.Refresh(t.Context(), ticket); err != nil {
				t.Fatal(err)
			}
		},
		"Register":  func(t *testing.T, q *redisqueue.Queue, _ queue.Ticket) { mustRegister(t, q) },
		"Registers": func(t *testing.T, q *redisqueue.Queue, _ queue.Ticket) { registerTogether(t, q, 3) },
	} {
		for first, second := range map[time.Duration]time.Duration{time.Hour: time.Minute, time.Minute: time.Hour} {
			name := redistest.Name(t)
			q := redisqueue.New(client, name, redisqueue.WithLease(time.Minute))
			tickets := make(map[time.Duration]queue.Ticket)
			for _, lease := range []time.Duration{first, second} {
				tickets[lease] = mustRegister(t, redisqueue.New(client, name, redisqueue.WithLease(lease)))
			}
			keys := []string{"{" + name + "}:queue", "{" + name + "}:seq"}
			for _, key := range keys {
				client.Persist(t.Context(), key)
			}
			comesBy(t, q, tickets[time.Minute])
			for _, key := range keys {
				if left := client.PTTL(t.Context(), key).Val(); left < time.Hour || left > 2*time.Hour {
					t.Errorf("%s of a lease of %v and one of %v behind it lives %v after %s; want between one and two hours", key, first, second, left, what)
				}
			}
			client.Del(t.Context(), redistest.Keys(t, client, name)...)
		}
	}
}

// A lease without an end is repaired, though the key of one behind it is another program's.
func TestRepairBesideAKeyOfAnotherProgram(t *testing.T) {
	client, name := redistest.Client(t), redistest.Name(t)
	q := redisqueue.New(client, name)
	owner, waiter, last := mustRegister(t, q), mustRegister(t, q), mustRegister(t, q)
	client.Persist(t.Context(), leaseKey(name, owner))
	client.Del(t.Context(), leaseKey(name, last))
	if err := client.HSet(t.Context(), leaseKey(name, last), "of", "another").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Position(t.Context(), waiter); err != nil {
		t.Fatal(err)
	}
	if left := client.PTTL(t.Context(), leaseKey(name, owner)).Val(); left < 0 {
		t.Error("the lease of the owner has no end")
	}
	client.Del(t.Context(), redistest.Keys(t, client, name)...)
}

// The ZSET goes with the last of the dead, and its time to live with it.
func TestKeysOfALineOfDead(t *testing.T) {
	client, name := redistest.Client(t), redistest.Name(t)
	dead := mustRegister(t, redisqueue.New(client, name, redisqueue.WithLease(time.Hour)))
	client.Del(t.Context(), leaseKey(name, dead)) // as if it had run out
	mustRegister(t, redisqueue.New(client, name, redisqueue.WithLease(time.Minute)))
	if left := client.PTTL(t.Context(), "{"+name+"}:queue").Val(); left <= time.Minute || left > 2*time.Minute {
		t.Errorf("the ZSET has %v to go; want about twice the lease", left)
	}
	client.Del(t.Context(), redistest.Keys(t, client, name)...)
}

func TestNumbersAscend(t *testing.T) {
	client, name := redistest.Client(t), redistest.Name(t)
	q := redisqueue.New(client, name)
	last := int64(0)
	next := func(after string) {
		t.Helper()
		ticket := mustRegister(t, q)
		if ticket.Number <= last {
			t.Fatalf("number %d after %d, after %s", ticket.Number, last, after)
		}
		last = ticket.Number
	}
	for range 50 {
		ticket := mustRegister(t, q)
		if ticket.Number <= last {
			t.Fatalf("number %d after %d", ticket.Number, last)
		}
		last = ticket.Number
		mustRelease(t, q, ticket)
	}
	next("clean-up")
	client.Del(t.Context(), redistest.Keys(t, client, name)...)
	next("deleting every key")
	for _, seq := range []string{"", "abc", "-5", "+5", " 5", "5 ", "05", "0", "1e3", "1.5", "0x10", "٣", "\x00\x00",
		"9007199254740992", "9223372036854775807", "99999999999999999999", strings.Repeat("1", 1<<20)} {
		client.Set(t.Context(), "{"+name+"}:seq", seq, 0)
		next(fmt.Sprintf("seq was %.20q", seq))
	}
	client.Del(t.Context(), "{"+name+"}:seq")
	next("deleting seq")
	numbers := make([]int64, 0, 20)
	for _, m := range members(t, q) {
		numbers = append(numbers, m.Ticket.Number)
	}
	if len(numbers) < 19 || !slices.IsSorted(numbers) {
		t.Errorf("the line is %v", numbers)
	}
	client.Del(t.Context(), redistest.Keys(t, client, name)...)
}

func TestNumbersSurviveFlush(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	client := server.Client()
	q := redisqueue.New(client, "flushed")
	before := mustRegister(t, q)
	client.FlushAll(t.Context())
	wantNotQueued(t, q.Refresh(t.Context(), before))
	after := mustRegister(t, q)
	server.Kill()
	server.Start()
	wantNotQueued(t, q.Refresh(t.Context(), after))
	last := mustRegister(t, q)
	if before.Number >= after.Number || after.Number >= last.Number {
		t.Errorf("numbers %d, FLUSHALL, %d, restart, %d", before.Number, after.Number, last.Number)
	}
}

// A number that the clock is far behind of is exceeded all the same, up to the
// last that a ZSET can order.
func TestLargeNumbers(t *testing.T) {
	client, name := redistest.Client(t), redistest.Name(t)
	q := redisqueue.New(client, name)
	seq := "{" + name + "}:seq"
	client.Set(t.Context(), seq, "9007199254740989", 0)
	last := mustRegister(t, q)
	if last.Number != 9007199254740990 || !strings.HasPrefix(last.Member, "9007199254740990:") {
		t.Fatalf("got %+v", last)
	}
	client.Del(t.Context(), seq)
	very := mustRegister(t, q)
	if very.Number != 1<<53-1 {
		t.Fatalf("got %+v", very)
	}
	if _, err := q.Register(t.Context()); err == nil || !strings.Contains(err.Error(), "used up") {
		t.Errorf("Register after the last number: %v", err)
	}
	if list := members(t, q); len(list) != 2 {
		t.Errorf("the line is %v", list)
	}
	wantHead(t, q, last)
	mustRelease(t, q, last)
	wantHead(t, q, very)
	mustRelease(t, q, very)
}

// A number ahead of the clock is remembered by the last ticket when seq is damaged or lost.
func TestNumberOfTheLastTicketIsKept(t *testing.T) {
	const ahead int64 = 4000000000000000
	for what, damaged := range map[string]string{"damaged": "abc", "negative": "-5", "lost": "", "behind": "7"} {
		t.Run(what, func(t *testing.T) {
			client, name := redistest.Client(t), redistest.Name(t)
			q := redisqueue.New(client, name)
			seq := "{" + name + "}:seq"
			if err := client.Set(t.Context(), seq, ahead, 0).Err(); err != nil {
				t.Fatal(err)
			}
			last := mustRegister(t, q)
			if err := client.Set(t.Context(), seq, damaged, 0).Err(); err != nil {
				t.Fatal(err)
			}
			if damaged == "" {
				client.Del(t.Context(), seq)
			}
			mustRelease(t, q, last)
			next := mustRegister(t, q)
			if next.Number <= last.Number {
				t.Errorf("number %d was given out after %d", next.Number, last.Number)
			}
			mustRelease(t, q, next)
		})
	}
}

// The number of a ticket that joins others is above the clock, the last number given, and
// the last in line. A token has one ticket there, too.
func TestNumberBehindOthers(t *testing.T) {
	for owners := range 3 { // 0: exclusive
		t.Run(fmt.Sprintf("owners=%d", owners), func(t *testing.T) {
			client, name := redistest.Client(t), redistest.Name(t)
			var q queue.TicketQueue = redisqueue.New(client, name)
			if owners > 0 {
				q = redisqueue.New(client, name).Share(owners)
			}
			mustRegister(t, q)
			now := client.Time(t.Context()).Val().UnixMicro()
			if next := mustRegister(t, q); next.Number < now {
				t.Errorf("number %d at %d", next.Number, now)
			}
			seq := "{" + name + "}:seq"
			for i, value := range []string{"4000000000000000", "5"} {
				client.Set(t.Context(), seq, value, 0)
				next := mustRegister(t, q)
				number, ahead := 4000000000000001+int64(i), 3+i-max(1, owners)
				if next.Number != number || next.Ahead != ahead {
					t.Errorf("with seq %s: got %+v; want number %d behind %d", value, next, number, ahead)
				}
				if given := client.Get(t.Context(), seq).Val(); given != fmt.Sprint(next.Number) {
					t.Errorf("seq is %s after %d", given, next.Number)
				}
			}
			if left := client.PTTL(t.Context(), seq).Val(); left < 24*time.Hour {
				t.Errorf("a seq that is ahead of the clock has %v to go", left)
			}
			client.Del(t.Context(), redistest.Keys(t, client, name)...)
		})
	}
}

// Entries that are no tickets are ignored and kept, whatever their place.
func TestForeignEntries(t *testing.T) {
	client, name := redistest.Client(t), redistest.Name(t)
	key := "{" + name + "}:queue"
	foreign := map[string]string{
		"": "0", "x": "-inf", "y": "+inf", "1:": "1", ":t:1": "1", "1:t": "1", "1:t:": "1", "1:t:x": "1", "1:t:1:1": "1",
		"01:t:1": "1", "+1:t:1": "1", "-1:t:1": "-1", "0:t:1": "0", "1e3:t:1": "1000", "7:t:1": "8", "8:t:1": "-inf", "9:t:1": "inf",
		"9007199254740992:t:1": "9007199254740992", "\n1:t:1": "1", "1:t:1\n": "1", strings.Repeat("z", 1<<20): "2",
	}
	add := func() {
		for member, score := range foreign {
			if err := client.Do(t.Context(), "ZADD", key, score, member).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	kept := func() int { return int(client.ZCard(t.Context(), key).Val()) }
	add()
	q := redisqueue.New(client, name)
	wantEmpty(t, q)
	q.MaybeCleanup(t.Context())
	a, ok, err := q.TryRegister(t.Context())
	if err != nil || !ok || a.Ahead != 0 {
		t.Fatalf("TryRegister = %+v, %v, %v; want the head", a, ok, err)
	}
	b, c := mustRegister(t, q), mustRegister(t, q)
	if b.Ahead != 1 || c.Ahead != 2 {
		t.Errorf("%d and %d ahead; want 1 and 2", b.Ahead, c.Ahead)
	}
	if place, err := q.Position(t.Context(), c); err != nil || place.Ahead != 2 {
		t.Errorf("Position = %d, %v; want 2", place.Ahead, err)
	}
	if list := members(t, q); len(list) != 3 || list[2].Ticket.Number != c.Number {
		t.Errorf("the line is %v", list)
	}
	for _, ticket := range []queue.Ticket{a, b, c} {
		wantHead(t, q, ticket)
		if err := q.CleanupStale(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustRelease(t, q, ticket)
	}
	if kept() != len(foreign) {
		t.Errorf("%d of %d foreign entries are left", kept(), len(foreign))
	}
	if keys := redistest.Keys(t, client, name); len(keys) != 1 {
		t.Errorf("%q are left; want only the ZSET with the foreign entries", keys)
	}
	client.Del(t.Context(), key)
}

// The time in an entry is for people: only the lease says whether its ticket lives (R30).
func TestTimesOfEntries(t *testing.T) {
	client := redistest.Client(t)
	for _, ms := range []string{"0", "1", "253402300799999"} { // 1970, 9999
		name := redistest.Name(t)
		q := redisqueue.New(client, name)
		living := "2:living.x:" + ms
		client.ZAdd(t.Context(), "{"+name+"}:queue", redis.Z{Score: 1, Member: "1:dead.x:" + ms}, redis.Z{Score: 2, Member: living})
		if err := client.Set(t.Context(), "{"+name+"}:lease:living.x", living+" 3600000 0 - 1 host ", time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
		own := mustRegister(t, q)
		if err := q.CleanupStale(t.Context()); err != nil {
			t.Fatal(err)
		}
		list := members(t, q)
		if len(list) != 2 || list[0].Ticket.Member != living || list[1].Ticket.Member != own.Member {
			t.Errorf("the line is %v; want %s, which has a lease, and ticket %d", list, living, own.Number)
		}
		mustRelease(t, q, own)
		client.Del(t.Context(), redistest.Keys(t, client, name)...)
	}
}

// What evicts the dead keeps the foreign entries between them.
func TestForeignEntryBehindTheDead(t *testing.T) {
	client, name := redistest.Client(t), redistest.Name(t)
	key := "{" + name + "}:queue"
	q := redisqueue.New(client, name)
	plantDead(t, client, name, 2, 1)
	client.ZAdd(t.Context(), key, redis.Z{Score: 1, Member: "foreign"})
	client.PExpire(t.Context(), key, time.Minute)
	if err := q.CleanupStale(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := client.PTTL(t.Context(), key).Val(); left < 99*365*24*time.Hour {
		t.Errorf("the foreign entry lasts for %v; want a hundred years", left)
	}
	client.Del(t.Context(), key)
}

// Too many of them are an error that says so; a ticket in line can leave.
func TestCrowded(t *testing.T) {
	client, name := redistest.Client(t), redistest.Name(t)
	key := "{" + name + "}:queue"
	q := redisqueue.New(client, name)
	held := mustRegister(t, q)
	crowd := make([]redis.Z, 1001)
	for i := range crowd {
		crowd[i] = redis.Z{Score: 1, Member: fmt.Sprint("foreign", i)}
	}
	client.ZAdd(t.Context(), key, crowd...)
	// Whichever call has met foreign entries, they are not ours to remove.
	wantKept := func(what string) {
		t.Helper()
		if left := client.PTTL(t.Context(), key).Val(); left < 99*365*24*time.Hour {
			t.Errorf("after %s the foreign entries last for %v; want a hundred years", what, left)
		}
		client.PExpire(t.Context(), key, time.Minute)
	}
	for what, call := range map[string]func() error{
		"Register":     func() error { _, err := q.Register(t.Context()); return err },
		"TryRegister":  func() error { _, _, err := q.TryRegister(t.Context()); return err },
		"IsHead":       func() error { _, err := q.IsHead(t.Context(), held); return err },
		"CleanupStale": func() error { return q.CleanupStale(t.Context()) },
		"IsEmpty":      func() error { _, err := q.IsEmpty(t.Context()); return err },
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), "no tickets: remove them") {
			t.Errorf("%s: %v; want an error that says what to remove", what, err)
		}
		wantKept(what)
	}
	if err := q.Refresh(t.Context(), held); err != nil {
		t.Error(err)
	}
	wantKept("Refresh")
	if keys := redistest.Keys(t, client, name); len(keys) != 3 {
		t.Errorf("the keys are %q; want those of the one ticket", keys)
	}
	mustRelease(t, q, held)
	wantKept("Release")
	if n := client.ZCard(t.Context(), key).Val(); n != 1001 {
		t.Errorf("%d entries are left; want the foreign ones", n)
	}
	client.Del(t.Context(), redistest.Keys(t, client, name)...)
}

// A key of the wrong type is an error, and nothing is written.
func TestWrongType(t *testing.T) {
	t.Parallel()
	client := redistest.Client(t)
	redistest.NeedReal(t) // DUMP
	values := map[string]func(ctx context.Context, key string) error{
		"string": func(ctx context.Context, key string) error { return client.Set(ctx, key, "x", 0).Err() },
		"list":   func(ctx context.Context, key string) error { return client.RPush(ctx, key, "x").Err() },
		"hash":   func(ctx context.Context, key string) error { return client.HSet(ctx, key, "x", "y").Err() },
		"stream": func(ctx context.Context, key string) error {
			return client.XAdd(ctx, &redis.XAddArgs{Stream: key, Values: []string{"x", "y"}}).Err()
		},
	}
	for which, failing := range map[string][]string{
		"queue": {"Register", "TryRegister", "IsHead", "Position", "Refresh", "Remove", "Release", "CleanupStale", "IsEmpty", "Members"},
		"seq":   {"Register", "Refresh", "Release"},
		"lease": {"Register", "TryRegister", "IsHead", "Position", "Refresh", "Remove", "Release", "CleanupStale", "Members"},
	} {
		for kind, put := range values {
			if kind == "string" && which != "queue" {
				continue // that is what it should be
			}
			for _, call := range append(failing, "MaybeCleanup") {
				t.Run(which+"/"+kind+"/"+call, func(t *testing.T) {
					name := redistest.Name(t)
					q := redisqueue.New(client, name)
					held := mustRegister(t, q)
					key := "{" + name + "}:" + which
					if which == "lease" {
						key = leaseKey(name, held)
					}
					client.Del(t.Context(), key)
					if err := put(t.Context(), key); err != nil {
						t.Fatal(err)
					}
					before := dump(t, client, name)
					if call == "MaybeCleanup" {
						q.MaybeCleanup(t.Context())
					} else if err := calls(q, held)[call](t.Context()); !redis.HasErrorPrefix(err, "WRONGTYPE") || !strings.Contains(err.Error(), "delete it") {
						t.Errorf("%v; want WRONGTYPE, and what to do", err)
					}
					if after := dump(t, client, name); before != after {
						t.Errorf("the keys were changed from\n%s to\n%s", before, after)
					}
					client.Del(t.Context(), redistest.Keys(t, client, name)...)
				})
			}
		}
	}
}

// dump returns every key of a queue with its value and whether it expires.
func dump(t *testing.T, client *redis.Client, name string) string {
	t.Helper()
	var text strings.Builder
	keys := redistest.Keys(t, client, name)
	slices.Sort(keys)
	for _, key := range keys {
		fmt.Fprintf(&text, "%s %q %v\n", key, client.Dump(t.Context(), key).Val(), client.PTTL(t.Context(), key).Val() < 0)
	}
	return text.String()
}
