package queuetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// optional has the promises of the functions of package queue, with an
// optional interface and without.
var optional = []property{
	{"TryRegister joins an empty line only", func(l *tester) {
		a, ok, err := queue.TryRegister(l.Context(), l.q)
		if l.ok("TryRegister", err); !ok {
			l.Fatal("TryRegister did not join an empty line")
		}
		l.wantHead(a, true)
		_, ok, err = queue.TryRegister(l.Context(), l.q)
		if l.ok("TryRegister", err); ok {
			l.Error("TryRegister joined a line that was not empty")
		}
		l.remove(a)
		l.wantEmpty(true)
	}},
	{"of many TryRegister at once at most one joins, and the others leave nothing", (*tester).checkTryRegister},
	{"Release removes the ticket and lets the next one be the head", func(l *tester) {
		a, b := l.register(), l.register()
		l.ok("Release", queue.Release(l.Context(), l.q, a))
		l.wantHead(b, true)
		l.wantNotQueued("second Release", queue.Release(l.Context(), l.q, a))
		l.wantHead(b, true)
		l.ok("Release", queue.Release(l.Context(), l.q, b))
		l.wantEmpty(true)
	}},
	{"Refresh keeps a ticket and never brings one back", func(l *tester) {
		a, b := l.register(), l.register()
		if _, ok := l.q.(queue.Refresher); !ok && a.Lease > 0 {
			if err := queue.Refresh(l.Context(), l.q, a); !errors.Is(err, errors.ErrUnsupported) {
				l.Errorf("Refresh of a ticket with a lease by a queue that is no Refresher returned %v, want errors.ErrUnsupported", err)
			}
			return
		}
		l.ok("Refresh of the head", queue.Refresh(l.Context(), l.q, a))
		l.ok("Refresh of a waiter", queue.Refresh(l.Context(), l.q, b))
		l.wantHead(a, true)
		l.remove(a)
		l.wantNotQueued("Refresh after Remove", queue.Refresh(l.Context(), l.q, a))
		l.remove(b)
		l.wantNotQueued("Refresh after Remove", queue.Refresh(l.Context(), l.q, b))
		l.wantEmpty(true)
	}},
	{"Position is 0 for the head and above 0 for all others", func(l *tester) {
		a, b, c := l.register(), l.register(), l.register()
		l.wantAhead(a, 0)
		l.wantAhead(b, 1)
		l.wantAhead(c, 2)
		l.remove(a)
		_, err := queue.Position(l.Context(), l.q, a)
		l.wantNotQueued("Position after Remove", err)
		l.wantAhead(b, 0)
		l.wantAhead(c, 1)
	}},
	{"a watcher is woken when its ticket becomes the head", (*tester).checkWatch},
	{"WakeOwner comes only to an owner", (*tester).checkWakeOwner},
	{"what happens between Register and Watch is not missed", (*tester).checkWatchLate},
	{"a watcher is woken also when the ctx of Watch has ended", (*tester).checkWatchOutlivesItsContext},
	{"stop may be called twice, and when the ticket is gone", func(l *tester) {
		l.register()
		b := l.register()
		_, stop, err := queue.Watch(l.Context(), l.q, b)
		if err != nil {
			l.Logf("Watch: %v: nothing to listen to", err)
		}
		l.remove(b)
		stop()
		stop()
	}},
	{"Members lists the line in order", (*tester).checkMembers},
}

func (l *tester) checkTryRegister() {
	const goroutines = 8
	var mu sync.Mutex
	var joined []queue.Ticket
	var group sync.WaitGroup
	for range goroutines {
		group.Go(func() {
			t, ok, err := queue.TryRegister(l.Context(), l.q)
			if err != nil {
				l.Errorf("TryRegister: %v", err)
			}
			if ok {
				mu.Lock()
				joined = append(joined, t)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if len(joined) > 1 {
		l.Errorf("%d TryRegister joined at once", len(joined))
	}
	for _, t := range joined {
		l.remove(t)
	}
	l.wantEmpty(true)
}

// watch listens for t. The channel is nil, and never ready, if there is nothing to
// listen to.
func (l *tester) watch(t queue.Ticket) <-chan queue.Wake {
	l.Helper()
	return l.watchUnder(l.Context(), t)
}

func (l *tester) watchUnder(ctx context.Context, t queue.Ticket) <-chan queue.Wake {
	l.Helper()
	wake, stop, err := queue.Watch(ctx, l.q, t)
	l.Cleanup(stop)
	if err != nil {
		l.Logf("Watch: %v: nothing to listen to", err)
	}
	return wake
}

// await waits until t owns: it receives wake-ups, or polls if there are none.
func (l *tester) await(t queue.Ticket, wake <-chan queue.Wake) {
	l.Helper()
	var poll <-chan time.Time
	if wake == nil {
		ticker := time.NewTicker(pollInterval)
		defer ticker.Stop()
		poll = ticker.C
	}
	for {
		w := queue.WakeHint
		select {
		case w = <-wake:
		case <-poll:
		}
		place, err := queue.Position(l.Context(), l.q, t)
		if l.ok("Position", err); place.Ahead == 0 {
			return
		}
		if w == queue.WakeOwner {
			l.Fatalf("WakeOwner to a ticket with %d ahead", place.Ahead)
		}
	}
}

func (l *tester) checkWatch() {
	a, b, c := l.register(), l.register(), l.register()
	wakeB, wakeC := l.watch(b), l.watch(c)
	l.ok("Release", queue.Release(l.Context(), l.q, a))
	l.await(b, wakeB)
	l.ok("Release", queue.Release(l.Context(), l.q, b))
	l.await(c, wakeC)
}

func (l *tester) checkWakeOwner() {
	a, b, c := l.register(), l.register(), l.register()
	wakeC := l.watch(c)
	l.ok("Release", queue.Release(l.Context(), l.q, b)) // gives up in the middle
	for settled := false; !settled; {
		select {
		case w := <-wakeC:
			if w == queue.WakeOwner {
				l.Error("WakeOwner to a ticket behind the head")
			}
			l.wantAhead(c, 1)
		case <-time.After(20 * pollInterval):
			settled = true
		}
	}
	l.ok("Release", queue.Release(l.Context(), l.q, a))
	l.await(c, wakeC)
}

func (l *tester) checkWatchLate() {
	a, b := l.register(), l.register()
	l.ok("Release", queue.Release(l.Context(), l.q, a))
	l.await(b, l.watch(b))
}

func (l *tester) checkWatchOutlivesItsContext() {
	a, b := l.register(), l.register()
	ctx, cancel := context.WithCancel(l.Context())
	wake := l.watchUnder(ctx, b)
	cancel()
	l.ok("Release", queue.Release(l.Context(), l.q, a))
	l.await(b, wake)
}

func (l *tester) checkMembers() {
	if _, ok := l.q.(queue.Lister); !ok {
		_, err := queue.Members(l.Context(), l.q)
		if !errors.Is(err, errors.ErrUnsupported) {
			l.Errorf("Members of a queue that is no Lister returned %v, want errors.ErrUnsupported", err)
		}
		return
	}
	var want []queue.Ticket
	for range 3 {
		want = append(want, l.register())
	}
	members, err := queue.Members(l.Context(), l.q)
	if l.ok("Members", err); len(members) != len(want) {
		l.Fatalf("Members returned %d, want %d", len(members), len(want))
	}
	for i, m := range members {
		if m.Ticket.Number != want[i].Number || m.Ticket.Member != want[i].Member {
			l.Errorf("member %d is %v, want %v", i, m.Ticket, want[i])
		}
		if m.Ticket.Ahead != i {
			l.Errorf("member %d has Ahead %d", i, m.Ticket.Ahead)
		}
		if m.Dead {
			l.Errorf("member %d, which is alive, is listed as dead", i)
		}
		if m.Since.IsZero() {
			l.Errorf("member %d has no Since", i)
		}
	}
}
