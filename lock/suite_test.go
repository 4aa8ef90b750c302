package lock_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
)

// stillBlocked is how long a test waits before it believes that something does
// not happen. What must happen is waited for without a limit.
const stillBlocked = 20 * time.Millisecond

// properties are what every Mutex promises, whatever queue it is on. Each gets a
// constructor. The values that it makes all stand on the same, empty queue.
var properties = []struct {
	name  string
	check func(*testing.T, newLocker)
}{
	{"Lock and Unlock", checkCycle},
	{"one at a time, in order of arrival, within one Mutex", checkGoroutines},
	{"one at a time, in order of arrival, between Mutex values", checkValues},
	{"tokens ascend", checkTokens},
	{"the first to register is served first", checkOrder},
	{"a ctx that has ended fails and takes no ticket", checkEndedContext},
	{"cancelled while waiting: no ticket is left, the next is served", checkCancelWaiting},
	{"cancelled at any moment: ctx error or the lock, never both or neither", checkCancelAnytime},
	{"TryLock never queues and never barges", checkTryLock},
	{"Unlock of what is not locked is ErrNotLocked", checkNotLocked},
	{"two Unlocks at once: one nil, one ErrNotLocked", checkDoubleUnlock},
	{"a ticket that is gone: Unlock is ErrLost, and the Mutex can be used again", checkReuseAfterLoss},
	{"a waiter whose ticket is gone takes a new one", checkEvictedWaiter},
	{"Unlock works after the ctx of Lock has ended", checkUnlockAfterContext},
	{"Do runs f under the lock and returns its error", checkDo},
	{"after the last Unlock the queue is empty and can be used again", checkLeavesNothing},
}

// runSuite checks every property on queues of one kind, of a Mutex, and of a
// Semaphore of 1 on those that can be shared. Each call of newLine makes a new
// queue's constructor. They run side by side.
func runSuite(t *testing.T, newLine func(t *testing.T) func() queue.TicketQueue) {
	t.Parallel()
	runSuiteOf(t, newLine, mutexes)
	if _, ok := newLine(t)().(queue.Sharer); ok {
		t.Run("semaphore of 1", func(t *testing.T) {
			t.Parallel()
			runSuiteOf(t, newLine, semaphoresOfOne)
		})
		t.Run("semaphore", func(t *testing.T) { runSemaphoreSuite(t, newLine) })
	}
}

func runSuiteOf(t *testing.T, newLine func(t *testing.T) func() queue.TicketQueue, kind func(func() queue.TicketQueue) newLocker) {
	for _, p := range properties {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			newQueue := newLine(t)
			p.check(t, kind(newQueue))
			awaitEmpty(t, newQueue())
		})
	}
}

// awaitEmpty waits until the line is empty: on a busy machine the ticket of a
// call that was cancelled may be removed after the call has returned.
func awaitEmpty(t *testing.T, q queue.TicketQueue) {
	t.Helper()
	for {
		empty, err := q.IsEmpty(t.Context())
		if err != nil {
			t.Fatalf("IsEmpty: %v", err)
		}
		if empty {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func mustLock(t *testing.T, m lockUnlocker) {
	t.Helper()
	if err := m.Lock(t.Context()); err != nil {
		t.Fatalf("Lock: %v", err)
	}
}

func mustUnlock(t *testing.T, m lockUnlocker) {
	t.Helper()
	if err := m.Unlock(); err != nil {
		t.Fatalf("Unlock: %v", err)
	}
}

// registration is a hook that reports every ticket that is taken.
func registration() (lock.Option, <-chan queue.Ticket) {
	tickets := make(chan queue.Ticket, 1000)
	return lock.WithTrace(&lock.Trace{Registered: func(t queue.Ticket) { tickets <- t }}), tickets
}

func checkCycle(t *testing.T, newMutex newLocker) {
	m := newMutex()
	if m.Token() != 0 || m.Lost() != nil {
		t.Error("an unlocked Mutex has a token or a channel of Lost")
	}
	for range 3 {
		mustLock(t, m)
		if m.Token() <= 0 {
			t.Errorf("Token is %d while locked", m.Token())
		}
		select {
		case <-m.Lost():
			t.Error("Lost is closed while locked")
		default:
		}
		mustUnlock(t, m)
	}
}

// occupancy notices two in a critical section, and grants out of order.
type occupancy struct {
	mu     sync.Mutex
	inside int
	tokens []int64
}

func (o *occupancy) enter(t *testing.T, token int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.inside++; o.inside > 1 {
		t.Errorf("%d hold the lock at a time", o.inside)
	}
	o.tokens = append(o.tokens, token)
}

func (o *occupancy) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.inside--
}

func (o *occupancy) check(t *testing.T, want int) {
	if len(o.tokens) != want {
		t.Errorf("%d held the lock, want %d", len(o.tokens), want)
	}
	if !slices.IsSorted(o.tokens) || len(slices.Compact(slices.Clone(o.tokens))) != len(o.tokens) {
		t.Errorf("tokens do not strictly ascend: %v", o.tokens)
	}
}

func contend(t *testing.T, rounds int, mutexes ...locker) {
	var o occupancy
	plain := 0 // unprotected but for the lock, so that -race sees a missing edge
	shared := len(slices.Compact(slices.Clone(mutexes))) == 1
	var group sync.WaitGroup
	for _, m := range mutexes {
		group.Go(func() {
			for range rounds {
				if err := m.Lock(t.Context()); err != nil {
					t.Errorf("Lock: %v", err)
					return
				}
				o.enter(t, m.Token())
				if shared {
					plain++
				}
				o.leave()
				if err := m.Unlock(); err != nil {
					t.Errorf("Unlock: %v", err)
				}
			}
		})
	}
	group.Wait()
	o.check(t, rounds*len(mutexes))
	if shared && plain != rounds*len(mutexes) {
		t.Errorf("counted %d, want %d", plain, rounds*len(mutexes))
	}
}

func checkGoroutines(t *testing.T, newMutex newLocker) {
	contend(t, 20, slices.Repeat([]locker{newMutex()}, 8)...)
}

func checkValues(t *testing.T, newMutex newLocker) {
	var mutexes []locker
	for range 6 {
		mutexes = append(mutexes, newMutex())
	}
	contend(t, 20, mutexes...)
}

func checkTokens(t *testing.T, newMutex newLocker) {
	last := int64(0)
	for range 50 {
		m := newMutex()
		mustLock(t, m)
		if m.Token() <= last {
			t.Fatalf("token %d after %d", m.Token(), last)
		}
		last = m.Token()
		mustUnlock(t, m)
	}
}

func checkOrder(t *testing.T, newMutex newLocker) {
	const waiters = 10
	holder := newMutex()
	mustLock(t, holder)
	var mu sync.Mutex
	var served []int
	var group sync.WaitGroup
	for i := range waiters {
		option, tickets := registration()
		m := newMutex(option)
		group.Go(func() {
			if err := m.Lock(t.Context()); err != nil {
				t.Errorf("Lock: %v", err)
				return
			}
			mu.Lock()
			served = append(served, i)
			mu.Unlock()
			if err := m.Unlock(); err != nil {
				t.Errorf("Unlock: %v", err)
			}
		})
		<-tickets // the next one comes only after this one is in line
	}
	mustUnlock(t, holder)
	group.Wait()
	if !slices.IsSorted(served) || len(served) != waiters {
		t.Errorf("served in the order %v", served)
	}
}

func checkEndedContext(t *testing.T, newMutex newLocker) {
	option, tickets := registration()
	m := newMutex(option)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for _, ctx := range []context.Context{cancelled, late} {
		if err := m.Lock(ctx); !errors.Is(err, ctx.Err()) {
			t.Errorf("Lock returned %v, want %v", err, ctx.Err())
		}
		if ok, err := m.TryLock(ctx); ok || !errors.Is(err, ctx.Err()) {
			t.Errorf("TryLock returned %v, %v, want %v", ok, err, ctx.Err())
		}
	}
	select {
	case ticket := <-tickets:
		t.Errorf("ticket %v was taken", ticket)
	default:
	}
}

func checkCancelWaiting(t *testing.T, newMutex newLocker) {
	holder := newMutex()
	mustLock(t, holder)

	option, tickets := registration()
	quitter := newMutex(option)
	ctx, cancel := context.WithCancelCause(t.Context())
	quit := make(chan error, 1)
	go func() { quit <- quitter.Lock(ctx) }()
	<-tickets

	option, tickets = registration()
	next := newMutex(option)
	served := make(chan error, 1)
	go func() { served <- next.Lock(t.Context()) }()
	<-tickets

	reason := errors.New("had enough")
	cancel(reason)
	if err := <-quit; !errors.Is(err, context.Canceled) || !errors.Is(err, reason) {
		t.Errorf("Lock returned %v, want context.Canceled and its cause", err)
	}
	if err := quitter.Unlock(); !errors.Is(err, lock.ErrNotLocked) {
		t.Errorf("Unlock after a cancelled Lock returned %v, want ErrNotLocked", err)
	}
	wantWaiting(t, served)
	mustUnlock(t, holder)
	if err := <-served; err != nil {
		t.Fatalf("Lock: %v", err)
	}
	mustUnlock(t, next)
}

// wantWaiting fails the test if something comes from c.
func wantWaiting(t *testing.T, c <-chan error) {
	t.Helper()
	select {
	case err := <-c:
		t.Errorf("Lock returned %v while another one held the lock", err)
	case <-time.After(stillBlocked):
	}
}

func checkCancelAnytime(t *testing.T, newMutex newLocker) {
	a, b := newMutex(), newMutex()
	for i := range 100 {
		mustLock(t, a)
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- b.Lock(ctx) }()
		// The hand-off and the cancellation come at once, and from one round to
		// the next in another order.
		var group sync.WaitGroup
		group.Go(func() {
			time.Sleep(time.Duration(i%10) * 20 * time.Microsecond)
			mustUnlock(t, a)
		})
		group.Go(func() {
			time.Sleep(time.Duration(i%7) * 30 * time.Microsecond)
			cancel()
		})
		err := <-result
		group.Wait()
		switch unlocked := b.Unlock(); {
		case err == nil && unlocked != nil:
			t.Fatalf("Lock returned nil, and Unlock %v", unlocked)
		case err != nil && !errors.Is(err, context.Canceled):
			t.Fatalf("Lock returned %v", err)
		case err != nil && !errors.Is(unlocked, lock.ErrNotLocked):
			t.Fatalf("Lock returned %v, and Unlock %v", err, unlocked)
		}
	}
}

func checkTryLock(t *testing.T, newMutex newLocker) {
	holder, other := newMutex(), newMutex()
	try := func(m locker, want bool) {
		t.Helper()
		if ok, err := m.TryLock(t.Context()); ok != want || err != nil {
			t.Errorf("TryLock returned %v, %v, want %v", ok, err, want)
		}
	}
	try(holder, true)
	try(other, false)
	try(holder, false)

	option, tickets := registration()
	waiter := newMutex(option)
	served := make(chan error, 1)
	go func() { served <- waiter.Lock(t.Context()) }()
	<-tickets
	mustUnlock(t, holder)
	try(other, false) // it is the waiter's, whether it knows yet or not
	if err := <-served; err != nil {
		t.Fatalf("Lock: %v", err)
	}
	mustUnlock(t, waiter)
	try(other, true)
	mustUnlock(t, other)
}

func checkNotLocked(t *testing.T, newMutex newLocker) {
	m := newMutex()
	if err := m.Unlock(); !errors.Is(err, lock.ErrNotLocked) {
		t.Errorf("Unlock returned %v, want ErrNotLocked", err)
	}
	mustLock(t, m)
	mustUnlock(t, m)
	if err := m.Unlock(); !errors.Is(err, lock.ErrNotLocked) {
		t.Errorf("second Unlock returned %v, want ErrNotLocked", err)
	}
}

func checkDoubleUnlock(t *testing.T, newMutex newLocker) {
	m := newMutex()
	for range 20 {
		mustLock(t, m)
		results := make(chan error, 2)
		for range 2 {
			go func() { results <- m.Unlock() }()
		}
		a, b := <-results, <-results
		if a != nil {
			a, b = b, a
		}
		if a != nil || !errors.Is(b, lock.ErrNotLocked) {
			t.Fatalf("two Unlocks returned %v and %v", a, b)
		}
	}
}

// evict removes a ticket behind its owner's back.
func evict(t *testing.T, q queue.TicketQueue, ticket queue.Ticket) {
	t.Helper()
	if err := q.Remove(t.Context(), ticket); err != nil {
		t.Fatalf("Remove: %v", err)
	}
}

func checkReuseAfterLoss(t *testing.T, newMutex newLocker) {
	option, tickets := registration()
	m, other := newMutex(option), newMutex()
	mustLock(t, m)
	token, lost := m.Token(), m.Lost()
	evict(t, m.line(), <-tickets)
	mustLock(t, other)

	served := make(chan error, 1)
	go func() { served <- m.Lock(t.Context()) }()
	<-tickets
	if err := m.Unlock(); !errors.Is(err, lock.ErrLost) {
		t.Errorf("Unlock returned %v, want ErrLost", err)
	}
	wantWaiting(t, served) // the Unlock of the loser touched no other ticket
	mustUnlock(t, other)
	if err := <-served; err != nil {
		t.Fatalf("Lock after a loss: %v", err)
	}
	if m.Token() <= token {
		t.Errorf("token %d after %d", m.Token(), token)
	}
	if m.Lost() == lost {
		t.Error("a new hold has the channel of the old one")
	}
	mustUnlock(t, m)
}

func checkEvictedWaiter(t *testing.T, newMutex newLocker) {
	holder := newMutex()
	mustLock(t, holder)
	option, tickets := registration()
	waiter := newMutex(option)
	served := make(chan error, 1)
	go func() { served <- waiter.Lock(t.Context()) }()
	first := <-tickets
	evict(t, waiter.line(), first)
	if second := <-tickets; second.Number <= first.Number {
		t.Errorf("ticket %d after %d", second.Number, first.Number)
	}
	wantWaiting(t, served)
	mustUnlock(t, holder)
	if err := <-served; err != nil {
		t.Fatalf("Lock: %v", err)
	}
	mustUnlock(t, waiter)
}

func checkUnlockAfterContext(t *testing.T, newMutex newLocker) {
	m := newMutex()
	ctx, cancel := context.WithCancel(t.Context())
	if err := m.Lock(ctx); err != nil {
		t.Fatalf("Lock: %v", err)
	}
	cancel()
	mustUnlock(t, m)
}

// panicOf calls f and returns what it has panicked with, nil if it has not.
func panicOf(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

func checkDo(t *testing.T, newMutex newLocker) {
	m := newMutex()
	want := errors.New("f failed")
	err := m.Do(t.Context(), func(ctx context.Context) error {
		if m.Token() == 0 || ctx.Err() != nil {
			t.Error("f does not run under the lock")
		}
		return want
	})
	if !errors.Is(err, want) {
		t.Errorf("Do returned %v, want %v", err, want)
	}
	if got := panicOf(func() { _ = m.Do(t.Context(), func(context.Context) error { panic("f panics") }) }); got != "f panics" {
		t.Errorf("Do panicked with %v, want what f panicked with", got)
	}
	if m.Token() != 0 {
		t.Error("still locked after a panic in f")
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = m.Do(t.Context(), func(context.Context) error { runtime.Goexit(); return nil })
	}()
	<-ended
	if m.Token() != 0 {
		t.Error("still locked after f has ended its goroutine")
	}
}

func checkLeavesNothing(t *testing.T, newMutex newLocker) {
	m := newMutex()
	contend(t, 5, m, m, m)
	if empty, err := m.line().IsEmpty(t.Context()); !empty || err != nil {
		t.Errorf("IsEmpty is %v, %v", empty, err)
	}
	mustLock(t, m)
	mustUnlock(t, m)
}
