// Package queuetest checks that an implementation of [queue.TicketQueue] keeps
// its contract, the optional interfaces included, in the manner of
// testing/fstest and testing/slogtest.
//
//	func TestMyQueue(t *testing.T) {
//		queuetest.Run(t, func(t *testing.T) queue.TicketQueue { return newMyQueue(t) })
//	}
//
// What only time or a crash shows is not checked here: that dead owners are
// evicted, and living ones never.
package queuetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// pollInterval is the pause between two looks of a test at a condition.
const pollInterval = time.Millisecond

// Run checks the queues that newQueue makes, each property in a subtest named
// after it. Every call of newQueue must return an empty queue that nobody else
// uses; what it needs is released with t.Cleanup. A queue with a lease must
// have one of at least some seconds: most subtests send no heartbeats.
func Run(t *testing.T, newQueue func(t *testing.T) queue.TicketQueue) {
	for _, p := range properties {
		t.Run(p.name, func(t *testing.T) {
			l := &line{T: t, q: newQueue(t)}
			t.Cleanup(l.clear)
			p.check(l)
		})
	}
}

type property struct {
	name  string
	check func(*line)
}

var properties = []property{
	{"a new queue is empty", func(l *line) {
		l.wantEmpty(true)
	}},
	{"whoever registered first is the head", func(l *line) {
		a, b := l.register(), l.register()
		l.wantHead(a, true)
		l.wantHead(b, false)
		l.wantEmpty(false)
	}},
	{"when the head is removed the next one is the head", func(l *line) {
		a, b, c := l.register(), l.register(), l.register()
		l.remove(a)
		l.wantHead(b, true)
		l.wantHead(c, false)
		l.remove(b)
		l.wantHead(c, true)
		l.remove(c)
		l.wantEmpty(true)
	}},
	{"Ahead is 0 for the head and above 0 for everyone else", func(l *line) {
		for i := range 5 {
			if a := l.register(); (a.Ahead == 0) != (i == 0) {
				l.Errorf("Register of number %d in line returned Ahead %d", i, a.Ahead)
			}
		}
	}},
	{"numbers are above 0, below 1<<53 and strictly ascending", func(l *line) {
		l.wantAscending(20, func(queue.Ticket) {})
	}},
	{"numbers ascend when every ticket is removed before the next is taken", func(l *line) {
		l.wantAscending(20, l.remove)
	}},
	{"numbers ascend through MaybeCleanup", func(l *line) {
		l.wantAscending(20, func(t queue.Ticket) {
			l.remove(t)
			l.q.MaybeCleanup(l.Context())
		})
	}},
	{"one who leaves from the middle changes nothing for the head", func(l *line) {
		a, b, c := l.register(), l.register(), l.register()
		l.remove(b)
		l.wantHead(a, true)
		l.wantHead(c, false)
		l.remove(a)
		l.wantHead(c, true)
	}},
	{"Remove of a ticket that is not in line is ErrNotQueued and touches nobody", func(l *line) {
		a, b := l.register(), l.register()
		l.remove(a)
		l.wantNotQueued("second Remove", l.q.Remove(l.Context(), a))
		l.wantHead(b, true)
	}},
	{"IsHead of a ticket that is not in line is ErrNotQueued", func(l *line) {
		a, b := l.register(), l.register()
		l.remove(a)
		_, err := l.q.IsHead(l.Context(), a)
		l.wantNotQueued("IsHead with another one in line", err)
		l.remove(b)
		_, err = l.q.IsHead(l.Context(), b)
		l.wantNotQueued("IsHead in an empty line", err)
	}},
	{"a ticket that never was is ErrNotQueued", func(l *line) {
		a := l.register()
		a.Number++
		_, err := l.q.IsHead(l.Context(), a)
		l.wantNotQueued("IsHead", err)
		l.wantNotQueued("Remove", l.q.Remove(l.Context(), a))
		_, err = l.q.IsHead(l.Context(), queue.Ticket{})
		l.wantNotQueued("IsHead of the zero Ticket", err)
		l.wantNotQueued("Remove of the zero Ticket", l.q.Remove(l.Context(), queue.Ticket{}))
		l.wantEmpty(false)
	}},
	{"CleanupStale removes nobody who is alive", func(l *line) {
		a, b := l.register(), l.register()
		ctx := queue.OnEvicted(l.Context(), func(evicted []queue.Ticket) {
			l.Errorf("CleanupStale told that it has evicted %v, who are alive", evicted)
		})
		l.ok("CleanupStale", l.q.CleanupStale(ctx))
		l.wantHead(a, true)
		l.wantHead(b, false)
	}},
	{"MaybeCleanup removes nothing while somebody is in line", func(l *line) {
		a, b := l.register(), l.register()
		l.q.MaybeCleanup(l.Context())
		l.wantHead(a, true)
		l.remove(a)
		l.q.MaybeCleanup(l.Context())
		l.wantHead(b, true)
	}},
	{"an empty queue can be asked, cleaned and used again", func(l *line) {
		l.remove(l.register())
		for range 2 {
			l.q.MaybeCleanup(l.Context())
			l.wantEmpty(true)
			l.ok("CleanupStale", l.q.CleanupStale(l.Context()))
		}
		l.wantHead(l.register(), true)
	}},
	{"a ctx that has ended fails every call and takes no ticket", func(l *line) {
		a := l.register()
		ctx, cancel := context.WithCancel(l.Context())
		cancel()
		_, err := l.q.Register(ctx)
		l.wantCanceled("Register", err)
		_, _, err = queue.TryRegister(ctx, l.q)
		l.wantCanceled("TryRegister", err)
		_, err = l.q.IsHead(ctx, a)
		l.wantCanceled("IsHead", err)
		_, err = queue.Position(ctx, l.q, a)
		l.wantCanceled("Position", err)
		_, err = l.q.IsEmpty(ctx)
		l.wantCanceled("IsEmpty", err)
		l.wantCanceled("CleanupStale", l.q.CleanupStale(ctx))
		l.remove(a)
		l.wantEmpty(true)
	}},
	{"one who registers after another has registered is behind it", (*line).checkDoorway},
	{"there is never more than one head, and everybody becomes it", (*line).checkExclusion},

	{"TryRegister joins an empty line only", func(l *line) {
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
	{"of many TryRegister at once at most one joins, and the others leave nothing", (*line).checkTryRegister},
	{"Release removes the ticket and lets the next one be the head", func(l *line) {
		a, b := l.register(), l.register()
		l.ok("Release", queue.Release(l.Context(), l.q, a))
		l.wantHead(b, true)
		l.wantNotQueued("second Release", queue.Release(l.Context(), l.q, a))
		l.wantHead(b, true)
		l.ok("Release", queue.Release(l.Context(), l.q, b))
		l.wantEmpty(true)
	}},
	{"Refresh keeps a ticket and never brings one back", func(l *line) {
		a, b := l.register(), l.register()
		l.ok("Refresh of the head", queue.Refresh(l.Context(), l.q, a))
		l.ok("Refresh of a waiter", queue.Refresh(l.Context(), l.q, b))
		l.wantHead(a, true)
		l.remove(a)
		l.wantNotQueued("Refresh after Remove", queue.Refresh(l.Context(), l.q, a))
		l.remove(b)
		l.wantNotQueued("Refresh after Remove", queue.Refresh(l.Context(), l.q, b))
		l.wantEmpty(true)
	}},
	{"Position is 0 for the head and above 0 for everyone else", func(l *line) {
		a, b, c := l.register(), l.register(), l.register()
		l.wantPosition(a, true)
		l.wantPosition(b, false)
		l.wantPosition(c, false)
		l.remove(a)
		_, err := queue.Position(l.Context(), l.q, a)
		l.wantNotQueued("Position after Remove", err)
		l.wantPosition(b, true)
		l.wantPosition(c, false)
	}},
	{"a watcher is woken when its ticket becomes the head", (*line).checkWatch},
	{"Granted comes only to the head", (*line).checkGranted},
	{"what happens between Register and Watch is not missed", (*line).checkWatchLate},
	{"stop may be called twice, and when the ticket is gone", func(l *line) {
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
	{"Members lists the line in order", (*line).checkMembers},
}

// line is a queue under test.
type line struct {
	*testing.T
	q queue.TicketQueue

	mu    sync.Mutex
	taken []queue.Ticket
}

// join registers, and has the ticket removed at the end of the test.
func (l *line) join() (queue.Ticket, error) {
	t, err := l.q.Register(l.Context())
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.taken = append(l.taken, t)
	}
	return t, err
}

// clear removes the tickets that the test has left in line.
func (l *line) clear() {
	ctx := context.WithoutCancel(l.Context())
	for _, t := range l.taken {
		if err := queue.Release(ctx, l.q, t); err != nil && !errors.Is(err, queue.ErrNotQueued) {
			l.Errorf("Release: %v", err)
		}
	}
}

func (l *line) ok(what string, err error) {
	l.Helper()
	if err != nil {
		l.Fatalf("%s: %v", what, err)
	}
}

func (l *line) register() queue.Ticket {
	l.Helper()
	t, err := l.join()
	l.ok("Register", err)
	return t
}

func (l *line) remove(t queue.Ticket) {
	l.Helper()
	l.ok("Remove", l.q.Remove(l.Context(), t))
}

func (l *line) wantHead(t queue.Ticket, want bool) {
	l.Helper()
	head, err := l.q.IsHead(l.Context(), t)
	if l.ok("IsHead", err); head != want {
		l.Errorf("IsHead of ticket %d is %v, want %v", t.Number, head, want)
	}
}

func (l *line) wantPosition(t queue.Ticket, head bool) {
	l.Helper()
	place, err := queue.Position(l.Context(), l.q, t)
	ahead := place.Ahead
	if l.ok("Position", err); (ahead == 0) != head {
		l.Errorf("Position of ticket %d is %d, and whether it is the head is %v", t.Number, ahead, head)
	}
}

func (l *line) wantEmpty(want bool) {
	l.Helper()
	empty, err := l.q.IsEmpty(l.Context())
	if l.ok("IsEmpty", err); empty != want {
		l.Errorf("IsEmpty is %v, want %v", empty, want)
	}
}

func (l *line) wantNotQueued(what string, err error) {
	l.Helper()
	if !errors.Is(err, queue.ErrNotQueued) {
		l.Errorf("%s returned %v, want ErrNotQueued", what, err)
	}
}

func (l *line) wantCanceled(what string, err error) {
	l.Helper()
	if !errors.Is(err, context.Canceled) {
		l.Errorf("%s with a cancelled ctx returned %v, want context.Canceled", what, err)
	}
}

// wantAscending registers n times, and calls between after each.
func (l *line) wantAscending(n int, between func(queue.Ticket)) {
	l.Helper()
	last := int64(0)
	for range n {
		t := l.register()
		if t.Number <= last || t.Number >= 1<<53 {
			l.Fatalf("number %d was given out after %d", t.Number, last)
		}
		last = t.Number
		between(t)
	}
}

func (l *line) checkDoorway() {
	const goroutines, rounds = 8, 25
	var mu sync.Mutex
	highest := int64(0) // of all that Register has returned so far
	seen := map[int64]bool{}
	var group sync.WaitGroup
	for range goroutines {
		group.Go(func() {
			for range rounds {
				mu.Lock()
				before := highest
				mu.Unlock()
				t, err := l.join()
				if err != nil {
					l.Errorf("Register: %v", err)
					return
				}
				mu.Lock()
				if t.Number <= before {
					l.Errorf("a Register that was called after number %d had been returned returned %d", before, t.Number)
				}
				if seen[t.Number] {
					l.Errorf("number %d was given out twice", t.Number)
				}
				seen[t.Number] = true
				highest = max(highest, t.Number)
				mu.Unlock()
			}
		})
	}
	group.Wait()
}

func (l *line) checkExclusion() {
	const goroutines, rounds = 8, 15
	var mu sync.Mutex
	var heads []int64 // in the order in which they came to be
	inside := 0
	var group sync.WaitGroup
	for range goroutines {
		group.Go(func() {
			for range rounds {
				t, ok := l.becomeHead()
				if !ok {
					return
				}
				mu.Lock()
				if inside++; inside > 1 {
					l.Errorf("%d heads at a time", inside)
				}
				heads = append(heads, t.Number)
				mu.Unlock()
				time.Sleep(pollInterval / 10) // the critical section
				mu.Lock()
				inside--
				mu.Unlock()
				if err := queue.Release(l.Context(), l.q, t); err != nil {
					l.Errorf("Release of the head: %v", err)
				}
			}
		})
	}
	group.Wait()
	if !slices.IsSorted(heads) {
		l.Errorf("heads did not come in the order of their numbers: %v", heads)
	}
	if !l.Failed() && len(heads) != goroutines*rounds {
		l.Errorf("%d became the head, want %d", len(heads), goroutines*rounds)
	}
	l.wantEmpty(true)
}

// becomeHead registers and polls until the ticket is the head.
func (l *line) becomeHead() (queue.Ticket, bool) {
	t, err := l.q.Register(l.Context())
	if err != nil {
		l.Errorf("Register: %v", err)
		return t, false
	}
	for ahead := t.Ahead; ahead > 0; {
		place, err := queue.Position(l.Context(), l.q, t)
		ahead = place.Ahead
		if err != nil {
			l.Errorf("Position of a waiter: %v", err)
			return t, false
		}
		if ahead > 0 {
			time.Sleep(pollInterval)
		}
	}
	return t, true
}

func (l *line) checkTryRegister() {
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

// watch listens for t, or skips the test.
func (l *line) watch(t queue.Ticket) <-chan queue.Wake {
	l.Helper()
	if _, ok := l.q.(queue.Watcher); !ok {
		l.Skipf("%T is no queue.Watcher", l.q)
	}
	wake, stop, err := queue.Watch(l.Context(), l.q, t)
	l.Cleanup(stop)
	if err != nil {
		l.Skipf("Watch has nothing to listen to: %v", err)
	}
	return wake
}

// await receives wake-ups until t is the head.
func (l *line) await(t queue.Ticket, wake <-chan queue.Wake) {
	l.Helper()
	for w := range wake {
		place, err := queue.Position(l.Context(), l.q, t)
		ahead := place.Ahead
		if l.ok("Position", err); ahead == 0 {
			return
		}
		if w == queue.WakeOwner {
			l.Fatalf("Granted to a ticket with %d ahead", ahead)
		}
	}
}

func (l *line) checkWatch() {
	a, b, c := l.register(), l.register(), l.register()
	wakeB, wakeC := l.watch(b), l.watch(c)
	l.ok("Release", queue.Release(l.Context(), l.q, a))
	l.await(b, wakeB)
	l.ok("Release", queue.Release(l.Context(), l.q, b))
	l.await(c, wakeC)
}

func (l *line) checkGranted() {
	a, b, c := l.register(), l.register(), l.register()
	wakeC := l.watch(c)
	l.ok("Release", queue.Release(l.Context(), l.q, b)) // gives up in the middle
	for settled := false; !settled; {
		select {
		case w := <-wakeC:
			if w == queue.WakeOwner {
				l.Error("Granted to a ticket behind the head")
			}
			l.wantPosition(c, false)
		case <-time.After(20 * pollInterval):
			settled = true
		}
	}
	l.ok("Release", queue.Release(l.Context(), l.q, a))
	l.await(c, wakeC)
}

func (l *line) checkWatchLate() {
	a, b := l.register(), l.register()
	l.ok("Release", queue.Release(l.Context(), l.q, a))
	l.await(b, l.watch(b))
}

func (l *line) checkMembers() {
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
