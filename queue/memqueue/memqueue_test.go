package memqueue_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/memqueue"
	"github.com/fifolock/fifolock/queue/queuetest"
)

func TestMain(m *testing.M) {
	testenv.Together(8)
	testenv.Main(m.Run)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("lease=none", func(t *testing.T) {
		t.Parallel()
		queuetest.Run(t, func(*testing.T) queue.TicketQueue { return memqueue.New() })
	})
	t.Run("lease=1h", func(t *testing.T) {
		t.Parallel()
		queuetest.Run(t, func(*testing.T) queue.TicketQueue { return memqueue.New(memqueue.WithLease(time.Hour)) })
	})
}

func TestLeases(t *testing.T) {
	t.Parallel()
	queuetest.RunLeases(t, func(*testing.T) queue.TicketQueue { return memqueue.New(memqueue.WithLease(100 * time.Millisecond)) })
}

func mustRegister(t *testing.T, q queue.TicketQueue) queue.Ticket {
	t.Helper()
	ticket, err := q.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

func TestLeaseRunsOutUnlessRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		q := memqueue.New(memqueue.WithLease(3 * time.Second))
		dead, alive := mustRegister(t, q), mustRegister(t, q)
		for range 10 {
			time.Sleep(time.Second)
			if err := q.Refresh(ctx, alive); err != nil {
				t.Fatalf("Refresh of a living ticket: %v", err)
			}
		}
		if err := q.Refresh(ctx, dead); !errors.Is(err, queue.ErrNotQueued) {
			t.Errorf("Refresh after the lease returned %v, want ErrNotQueued", err)
		}
		if place, err := q.Position(ctx, alive); place.Ahead != 0 || err != nil {
			t.Errorf("Position behind a dead head is %d, %v, want 0", place.Ahead, err)
		}
	})
}

func TestEvicted(t *testing.T) {
	queuetest.RunEviction(t, func(t *testing.T) queuetest.Mortal {
		q := memqueue.New(memqueue.WithLease(time.Hour))
		return queuetest.Mortal{
			TicketQueue: q,
			Join: func() func() {
				mortal := mustRegister(t, q)
				return func() { q.LetDie(mortal) }
			},
			DeadAfter: func(queue.Ticket) { q.LetDie(mustRegister(t, q)) },
		}
	})
}

// The dead among the first n are evicted and told of, with those behind untouched.
func TestEvictedAmongTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memqueue.New(memqueue.WithLease(3 * time.Second)).Share(3)
		a, dead, b, waiter := mustRegister(t, q), mustRegister(t, q), mustRegister(t, q), mustRegister(t, q)
		behind := mustRegister(t, q) // dead, too, and not among the first
		wake, stop, err := queue.Watch(t.Context(), q, waiter)
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		<-wake // of what came before
		time.Sleep(2 * time.Second)
		for _, alive := range []queue.Ticket{a, b, waiter} {
			if err := queue.Refresh(t.Context(), q, alive); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		var evicted []queue.Ticket
		ctx := queue.OnEvicted(t.Context(), func(tickets []queue.Ticket) { evicted = append(evicted, tickets...) })
		if err := q.CleanupStale(ctx); err != nil {
			t.Fatal(err)
		}
		if len(evicted) != 1 || evicted[0].Number != dead.Number {
			t.Errorf("evicted %v, want %v", evicted, dead)
		}
		if w := <-wake; w != queue.WakeOwner {
			t.Errorf("woken by %v, want WakeOwner", w)
		}
		if _, err := q.IsHead(t.Context(), behind); err != nil {
			t.Errorf("one that is not among the first was evicted: %v", err)
		}
	})
}

// A waiter that listens may rely on being woken until an owner may have died.
func TestRecheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memqueue.New(memqueue.WithLease(3 * time.Second))
		mustRegister(t, q)
		waiter := mustRegister(t, q)
		time.Sleep(time.Second)
		recheck := func() time.Duration {
			place, err := q.Position(t.Context(), waiter)
			if err != nil {
				t.Fatal(err)
			}
			return place.Recheck
		}
		if d := recheck(); d != 0 {
			t.Errorf("one that does not listen may rely on being woken for %v", d)
		}
		_, stop, err := q.Watch(t.Context(), waiter)
		if err != nil {
			t.Fatal(err)
		}
		if d := recheck(); d != 2*time.Second {
			t.Errorf("it may rely on being woken for %v, want what is left of the owner's lease", d)
		}
		stop()
		if d := recheck(); d != 0 {
			t.Errorf("after its watch has ended it may rely on being woken for %v", d)
		}
	})
}

func TestOptions(t *testing.T) {
	for name, opt := range map[string]memqueue.Option{
		"no lease":       memqueue.WithLease(0),
		"a minus lease":  memqueue.WithLease(-1),
		"a label of two": memqueue.WithLabel("one\ntwo"),
		"a long label":   memqueue.WithLabel(strings.Repeat("x", 129)),
		"a broken label": memqueue.WithLabel("\xff"),
	} {
		if _, err := memqueue.New(nil, opt).Register(t.Context()); err == nil {
			t.Errorf("%s: Register returned nil", name)
		}
		if _, err := memqueue.New(opt).Share(2).IsEmpty(t.Context()); err == nil {
			t.Errorf("%s: IsEmpty of a view returned nil", name)
		}
	}
}

func TestLabel(t *testing.T) {
	q := memqueue.New(memqueue.WithLabel("deploy-42"))
	mustRegister(t, q)
	members, err := q.Members(t.Context())
	if err != nil || len(members) != 1 || members[0].Label != "deploy-42" || members[0].PID != os.Getpid() {
		t.Errorf("Members returned %+v, %v", members, err)
	}
}

// A Queue that New has not made says so, and so does a view of it.
func TestZeroValue(t *testing.T) {
	var zero memqueue.Queue
	for _, q := range []queue.TicketQueue{&zero, zero.Share(2)} {
		_, err := q.Register(t.Context())
		const want = "memory queue: register: the Queue was not made by New: use the pointer that New returns"
		if err == nil || err.Error() != want {
			t.Errorf("Register returned %v, want %q", err, want)
		}
	}
}

// A stop ends the listening of its own Watch, and not that of a later one.
func TestStopOfAnEarlierWatch(t *testing.T) {
	q := memqueue.New()
	head, second := mustRegister(t, q), mustRegister(t, q)
	_, stop, err := q.Watch(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	wake, stopLater, err := q.Watch(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	defer stopLater()
	<-wake // every Watch begins with a hint
	stop()
	if err := q.Remove(t.Context(), head); err != nil {
		t.Fatal(err)
	}
	select {
	case <-wake:
	default:
		t.Error("the later Watch was not told that the ticket owns")
	}
}

// A ticket leaves the line though the ctx has ended: nothing else would end it.
func TestReleaseAfterTheEndOfCtx(t *testing.T) {
	q := memqueue.New()
	ticket := mustRegister(t, q)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := q.Release(ctx, ticket); err != nil {
		t.Error(err)
	}
	if empty, err := q.IsEmpty(t.Context()); !empty || err != nil {
		t.Errorf("empty: %v, %v", empty, err)
	}
}
