package queuetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// basic has the promises of the six methods.
var basic = []property{
	{"a new queue is empty", func(l *tester) {
		l.wantEmpty(true)
	}},
	{"the first to register is the head", func(l *tester) {
		a, b := l.register(), l.register()
		l.wantHead(a, true)
		l.wantHead(b, false)
		l.wantEmpty(false)
	}},
	{"when the head is removed the next one is the head", func(l *tester) {
		a, b, c := l.register(), l.register(), l.register()
		l.remove(a)
		l.wantHead(b, true)
		l.wantHead(c, false)
		l.remove(b)
		l.wantHead(c, true)
		l.remove(c)
		l.wantEmpty(true)
	}},
	{"Ahead is 0 for the head and above 0 for all others", func(l *tester) {
		for i := range 5 {
			if a := l.register(); (a.Ahead == 0) != (i == 0) {
				l.Errorf("Register of number %d in line returned Ahead %d", i, a.Ahead)
			}
		}
	}},
	{"numbers are above 0, below 1<<53 and strictly ascending", func(l *tester) {
		l.wantAscending(20, func(queue.Ticket) {})
	}},
	{"numbers ascend when every ticket is removed before the next is taken", func(l *tester) {
		l.wantAscending(20, l.remove)
	}},
	{"numbers ascend through MaybeCleanup", func(l *tester) {
		l.wantAscending(20, func(t queue.Ticket) {
			l.remove(t)
			l.q.MaybeCleanup(l.Context())
		})
	}},
	{"a ticket that leaves from the middle changes nothing for the head", func(l *tester) {
		a, b, c := l.register(), l.register(), l.register()
		l.remove(b)
		l.wantHead(a, true)
		l.wantHead(c, false)
		l.remove(a)
		l.wantHead(c, true)
	}},
	{"Remove of a ticket that is not in line is ErrNotQueued and touches no other", func(l *tester) {
		a, b := l.register(), l.register()
		l.remove(a)
		l.wantNotQueued("second Remove", l.q.Remove(l.Context(), a))
		l.wantHead(b, true)
	}},
	{"IsHead of a ticket that is not in line is ErrNotQueued", func(l *tester) {
		a, b := l.register(), l.register()
		l.remove(a)
		_, err := l.q.IsHead(l.Context(), a)
		l.wantNotQueued("IsHead with another one in line", err)
		l.remove(b)
		_, err = l.q.IsHead(l.Context(), b)
		l.wantNotQueued("IsHead in an empty line", err)
	}},
	{"a ticket that never was is ErrNotQueued", func(l *tester) {
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
	{"a ticket is its Member, not its Number alone", func(l *tester) {
		left, a := l.register(), l.register()
		l.remove(left)
		other := a
		other.Member = left.Member
		_, err := l.q.IsHead(l.Context(), other)
		l.wantNotQueued("IsHead", err)
		l.wantNotQueued("Remove", l.q.Remove(l.Context(), other))
		l.wantNotQueued("Release", queue.Release(l.Context(), l.q, other))
		l.wantHead(a, true)
	}},
	{"CleanupStale removes none that is alive", func(l *tester) {
		a, b := l.register(), l.register()
		ctx := queue.OnEvicted(l.Context(), func(evicted []queue.Ticket) {
			l.Errorf("CleanupStale told that it has evicted %v, which are alive", evicted)
		})
		l.ok("CleanupStale", l.q.CleanupStale(ctx))
		l.wantHead(a, true)
		l.wantHead(b, false)
	}},
	{"MaybeCleanup removes nothing while a ticket is in line", func(l *tester) {
		a, b := l.register(), l.register()
		l.q.MaybeCleanup(l.Context())
		l.wantHead(a, true)
		l.remove(a)
		l.q.MaybeCleanup(l.Context())
		l.wantHead(b, true)
	}},
	{"an empty queue can be asked, cleaned and used again", func(l *tester) {
		l.remove(l.register())
		for range 2 {
			l.q.MaybeCleanup(l.Context())
			l.wantEmpty(true)
			l.ok("CleanupStale", l.q.CleanupStale(l.Context()))
		}
		l.wantHead(l.register(), true)
	}},
	{"a ctx that was cancelled before fails every call and takes no ticket", func(l *tester) {
		ctx, cancel := context.WithCancel(l.Context())
		cancel()
		l.checkEnded(ctx)
	}},
	{"a ctx whose deadline is past fails every call and takes no ticket", func(l *tester) {
		ctx, cancel := context.WithTimeout(l.Context(), -1)
		defer cancel()
		l.checkEnded(ctx)
	}},
	{"a ctx that ends meanwhile leaves no ticket of which the caller does not know", (*tester).checkEndsMeanwhile},
	{"an error says which operation failed, on which queue, and why", (*tester).checkErrors},
	{"a Register that is called after another has returned is behind it", (*tester).checkDoorway},
	{"there is never more than one head, and all become it in order", func(l *tester) { l.checkExclusion(1) }},
}

func (l *tester) checkEnded(ctx context.Context) {
	a := l.register()
	_, err := l.q.Register(ctx)
	l.wantEnded(ctx, "Register", err)
	_, _, err = queue.TryRegister(ctx, l.q)
	l.wantEnded(ctx, "TryRegister", err)
	_, err = l.q.IsHead(ctx, a)
	l.wantEnded(ctx, "IsHead", err)
	_, err = queue.Position(ctx, l.q, a)
	l.wantEnded(ctx, "Position", err)
	_, err = l.q.IsEmpty(ctx)
	l.wantEnded(ctx, "IsEmpty", err)
	l.wantEnded(ctx, "CleanupStale", l.q.CleanupStale(ctx))
	if err := l.q.Remove(ctx, a); err != nil { // it may work
		l.wantEnded(ctx, "Remove", err)
		l.remove(a)
	}
	l.wantEmpty(true)
}

func (l *tester) checkEndsMeanwhile() {
	for range 100 {
		for _, register := range []func(context.Context) (queue.Ticket, bool, error){
			func(ctx context.Context) (queue.Ticket, bool, error) {
				t, err := l.q.Register(ctx)
				return t, err == nil, err
			},
			func(ctx context.Context) (queue.Ticket, bool, error) { return queue.TryRegister(ctx, l.q) },
		} {
			ctx, cancel := context.WithCancel(l.Context())
			go cancel()
			t, ok, err := register(ctx)
			if err != nil {
				<-ctx.Done()
				l.wantEnded(ctx, "the call", err)
			} else if ok {
				l.remove(t)
			}
			l.awaitEmpty()
		}
	}
}

func (l *tester) checkDoorway() {
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

// checkExclusion has many wait for their turn, of which n may own at a time.
func (l *tester) checkExclusion(n int) {
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
				if inside++; inside > n {
					l.Errorf("%d own at a time, want at most %d", inside, n)
				}
				heads = append(heads, t.Number)
				mu.Unlock()
				time.Sleep(pollInterval / 10) // the critical section
				mu.Lock()
				inside--
				mu.Unlock()
				if err := queue.Release(l.Context(), l.q, t); err != nil {
					l.Errorf("Release of an owner: %v", err)
				}
			}
		})
	}
	group.Wait()
	if n == 1 && !slices.IsSorted(heads) { // several find out in any order
		l.Errorf("they did not own in the order of their numbers: %v", heads)
	}
	if !l.Failed() && len(heads) != goroutines*rounds {
		l.Errorf("%d came to own, want %d", len(heads), goroutines*rounds)
	}
	l.wantEmpty(true)
}

// becomeHead registers and polls until the ticket owns.
func (l *tester) becomeHead() (queue.Ticket, bool) {
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

// checkErrors looks at the errors of a queue that has a name. One without String
// may make its errors as it likes.
func (l *tester) checkErrors() {
	named, ok := l.q.(fmt.Stringer)
	if !ok {
		return
	}
	a := l.register()
	l.remove(a)
	ended, cancel := context.WithCancel(l.Context())
	cancel()
	_, registerErr := l.q.Register(ended)
	_, headErr := l.q.IsHead(l.Context(), a)
	_, emptyErr := l.q.IsEmpty(ended)
	for what, err := range map[string]error{
		"Register": registerErr, "IsHead": headErr, "IsEmpty": emptyErr,
		"Remove": l.q.Remove(l.Context(), a), "CleanupStale": l.q.CleanupStale(ended),
	} {
		var e *queue.Error
		if !errors.As(err, &e) {
			l.Errorf("%s returned %v, which is no *queue.Error", what, err)
			continue
		}
		if e.Op == "" || e.Queue != named.String() || e.Err == nil {
			l.Errorf("%s returned an error with the operation %q, the queue %q and the cause %v", what, e.Op, e.Queue, e.Err)
		}
		if n := strings.Count(err.Error(), e.Queue); n != 1 {
			l.Errorf("%s returned %q, which names its queue %d times", what, err, n)
		}
	}
}
