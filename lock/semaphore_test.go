package lock_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/memqueue"
)

// semaphoreProperties are what every Semaphore promises, whatever queue it is on. Each
// gets a constructor. The values that it makes all stand on the same, empty queue.
var semaphoreProperties = []struct {
	name  string
	check func(*testing.T, func() queue.TicketQueue)
}{
	{"never n + 1", checkNeverMore},
	{"permits in the order of arrival, and no more than there are", checkPermitsInOrder},
	{"TryAcquire never queues and never barges", checkTryAcquire},
	{"whichever holder releases, the next in line gets its permit", checkAnyRelease},
	{"a hold releases itself only", checkHoldReleasesItself},
	{"different n side by side: each admits by its own", checkDifferentN},
	{"a Mutex and a Semaphore on one queue refuse each other", checkKinds},
	{"Do gives its function the hold", checkSemaphoreDo},
	{"a hold that is gone: Release is ErrLost, and the rest hold on", checkLostHold},
	{"cancelled at any moment: ctx error or a hold, never both or neither", checkCancelAcquire},
}

// runSemaphoreSuite checks every property of a Semaphore on queues of one kind.
func runSemaphoreSuite(t *testing.T, newLine func(t *testing.T) func() queue.TicketQueue) {
	for _, p := range semaphoreProperties {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			newQueue := newLine(t)
			p.check(t, newQueue)
			awaitEmpty(t, newQueue())
		})
	}
}

func mustAcquire(t *testing.T, s *lock.Semaphore) *lock.Hold {
	t.Helper()
	h, err := s.Acquire(t.Context())
	if err != nil {
		t.Fatalf("Acquire: %v", err)
	}
	return h
}

func mustRelease(t *testing.T, holds ...*lock.Hold) {
	t.Helper()
	for _, h := range holds {
		if err := h.Release(); err != nil {
			t.Fatalf("Release: %v", err)
		}
	}
}

// acquiring is an Acquire under way, with a ticket in line.
type acquiring struct {
	t    *testing.T
	hold chan *lock.Hold
}

func acquire(t *testing.T, q queue.TicketQueue, n int) *acquiring {
	t.Helper()
	option, tickets := registration()
	a := &acquiring{t, make(chan *lock.Hold, 1)}
	s := lock.NewSemaphore(q, n, option)
	failed := make(chan error, 1)
	go func() {
		h, err := s.Acquire(t.Context())
		if err != nil {
			t.Errorf("Acquire: %v", err)
			failed <- err
			return
		}
		a.hold <- h
	}()
	select {
	case <-tickets:
	case <-failed:
		t.FailNow()
	}
	return a
}

func (a *acquiring) wantWaiting() {
	a.t.Helper()
	select {
	case h := <-a.hold:
		a.t.Errorf("hold %d was given beyond the limit", h.Token())
		mustRelease(a.t, h)
	case <-time.After(stillBlocked):
	}
}

// slots notices more than n in their sections.
type slots struct {
	mu     sync.Mutex
	n      int
	inside int
	held   int
}

func (s *slots) enter(t *testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inside++
	s.held++
	if s.inside > s.n {
		t.Errorf("%d hold at a time, want at most %d", s.inside, s.n)
	}
}

func (s *slots) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inside--
}

func checkNeverMore(t *testing.T, newQueue func() queue.TicketQueue) {
	const n, goroutines, rounds = 3, 12, 10
	s := slots{n: n}
	shared := lock.NewSemaphore(newQueue(), n)
	var group sync.WaitGroup
	for i := range goroutines {
		sem := shared
		if i%3 == 0 {
			sem = lock.NewSemaphore(newQueue(), n)
		}
		group.Go(func() {
			for range rounds {
				h, err := sem.Acquire(t.Context())
				if err != nil {
					t.Errorf("Acquire: %v", err)
					return
				}
				s.enter(t)
				time.Sleep(time.Duration(rand.N(300)) * time.Microsecond)
				s.leave()
				if err := h.Release(); err != nil {
					t.Errorf("Release: %v", err)
				}
			}
		})
	}
	group.Wait()
	if s.held != goroutines*rounds {
		t.Errorf("%d held, want %d", s.held, goroutines*rounds)
	}
	// That all n may hold does not depend on what was met above.
	holds := make([]*lock.Hold, n)
	for i := range holds {
		h, err := shared.Acquire(t.Context())
		if err != nil {
			t.Fatalf("Acquire number %d of %d: %v", i+1, n, err)
		}
		holds[i] = h
	}
	for _, h := range holds {
		if err := h.Release(); err != nil {
			t.Errorf("Release: %v", err)
		}
	}
}

func checkPermitsInOrder(t *testing.T, newQueue func() queue.TicketQueue) {
	const n, waiters = 2, 5
	s := lock.NewSemaphore(newQueue(), n)
	holds := []*lock.Hold{mustAcquire(t, s), mustAcquire(t, s)}
	var waiting []*acquiring
	for range waiters {
		waiting = append(waiting, acquire(t, newQueue(), n))
	}
	for i, w := range waiting {
		w.wantWaiting()
		mustRelease(t, holds[i])
		h := <-w.hold
		if h.Token() <= holds[len(holds)-1].Token() {
			t.Errorf("token %d after %d", h.Token(), holds[len(holds)-1].Token())
		}
		holds = append(holds, h)
	}
	mustRelease(t, holds[waiters:]...)
}

func checkTryAcquire(t *testing.T, newQueue func() queue.TicketQueue) {
	const n = 2
	s, other := lock.NewSemaphore(newQueue(), n), lock.NewSemaphore(newQueue(), n)
	try := func(want bool) (h *lock.Hold) {
		t.Helper()
		h, ok, err := other.TryAcquire(t.Context())
		if h.Token() > 0 != want || h.Lost() != nil != want {
			t.Errorf("Token and Lost are %d, %v of a try that got %v", h.Token(), h.Lost(), h)
		}
		if ok != want || err != nil || ok != (h != nil) {
			t.Errorf("TryAcquire returned %v, %v, %v, want %v", h, ok, err, want)
		}
		return h
	}
	a, b := mustAcquire(t, s), try(true)
	try(false)
	waiter := acquire(t, newQueue(), n)
	mustRelease(t, a)
	try(false) // it is the waiter's, whether it knows yet or not
	c := <-waiter.hold
	try(false)
	mustRelease(t, b)
	mustRelease(t, c, try(true))
}

func checkAnyRelease(t *testing.T, newQueue func() queue.TicketQueue) {
	const n = 3
	for leaving := range n {
		s := lock.NewSemaphore(newQueue(), n)
		holds := []*lock.Hold{mustAcquire(t, s), mustAcquire(t, s), mustAcquire(t, s)}
		first, second := acquire(t, newQueue(), n), acquire(t, newQueue(), n)
		mustRelease(t, holds[leaving])
		h := <-first.hold
		second.wantWaiting()
		mustRelease(t, slices.Delete(slices.Clone(holds), leaving, leaving+1)...)
		mustRelease(t, h, <-second.hold)
	}
}

func checkHoldReleasesItself(t *testing.T, newQueue func() queue.TicketQueue) {
	s := lock.NewSemaphore(newQueue(), 1)
	h := mustAcquire(t, s)
	mustRelease(t, h)
	next := mustAcquire(t, s)
	if err := h.Release(); !errors.Is(err, lock.ErrNotLocked) {
		t.Errorf("Release of a hold that was released returned %v, want ErrNotLocked", err)
	}
	mustRelease(t, next)
}

func checkDifferentN(t *testing.T, newQueue func() queue.TicketQueue) {
	narrow, wide := lock.NewSemaphore(newQueue(), 1), lock.NewSemaphore(newQueue(), 3)
	a := mustAcquire(t, narrow)
	b, c := mustAcquire(t, wide), mustAcquire(t, wide) // fewer than 3 are before each
	if _, ok, err := narrow.TryAcquire(t.Context()); ok || err != nil {
		t.Errorf("TryAcquire of a Semaphore of 1 returned %v, %v with 3 in line", ok, err)
	}
	last := acquire(t, newQueue(), 1)
	mustRelease(t, a, b)
	last.wantWaiting() // one is before it, and it admits none beside itself
	mustRelease(t, c)
	mustRelease(t, <-last.hold)
}

func checkKinds(t *testing.T, newQueue func() queue.TicketQueue) {
	m, s := lock.New(newQueue()), lock.NewSemaphore(newQueue(), 2)
	bothNamed := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "Mutex") || !strings.Contains(err.Error(), "Semaphore") {
			t.Errorf("%s returned %v, want an error that names both", what, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 2 {
		mustLock(t, m)
		_, err := s.Acquire(ctx)
		bothNamed("Acquire", err)
		_, _, err = s.TryAcquire(ctx)
		bothNamed("TryAcquire", err)
		mustUnlock(t, m)
		h := mustAcquire(t, s) // an empty line is of no kind
		bothNamed("Lock", m.Lock(ctx))
		if ok, err := m.TryLock(ctx); ok {
			t.Error("TryLock has locked what a Semaphore holds")
		} else if err != nil { // that it is busy is true as well
			bothNamed("TryLock", err)
		}
		mustRelease(t, h)
	}
}

func checkSemaphoreDo(t *testing.T, newQueue func() queue.TicketQueue) {
	s := lock.NewSemaphore(newQueue(), 1)
	want := errors.New("f failed")
	err := s.Do(t.Context(), func(ctx context.Context, h *lock.Hold) error {
		if h.Token() == 0 || ctx.Err() != nil || isClosed(h.Lost()) {
			t.Error("f does not run under a hold")
		}
		return want
	})
	if !errors.Is(err, want) {
		t.Errorf("Do returned %v, want %v", err, want)
	}
	if got := panicOf(func() { _ = s.Do(t.Context(), func(context.Context, *lock.Hold) error { panic("f panics") }) }); got != "f panics" {
		t.Errorf("Do panicked with %v, want what f panicked with", got)
	}
	mustRelease(t, mustAcquire(t, s))
	if err := s.Do(t.Context(), nil); err == nil {
		t.Error("Do without a function returned nil")
	}
}

func checkLostHold(t *testing.T, newQueue func() queue.TicketQueue) {
	option, tickets := registration()
	s := lock.NewSemaphore(newQueue(), 2, option)
	a, b := mustAcquire(t, s), mustAcquire(t, s)
	evict(t, newQueue(), <-tickets)
	<-tickets
	c := mustAcquire(t, s)
	if err := a.Release(); !errors.Is(err, lock.ErrLost) {
		t.Errorf("Release returned %v, want ErrLost", err)
	}
	mustRelease(t, b, c)
}

func checkCancelAcquire(t *testing.T, newQueue func() queue.TicketQueue) {
	const n = 2
	s, other := lock.NewSemaphore(newQueue(), n), lock.NewSemaphore(newQueue(), n)
	for i := range 50 {
		holds := []*lock.Hold{mustAcquire(t, s), mustAcquire(t, s)}
		ctx, cancel := context.WithCancel(t.Context())
		type result struct {
			hold *lock.Hold
			err  error
		}
		results := make(chan result, 2)
		for range 2 {
			go func() {
				h, err := other.Acquire(ctx)
				results <- result{h, err}
			}()
		}
		var group sync.WaitGroup
		group.Go(func() {
			time.Sleep(time.Duration(i%10) * 20 * time.Microsecond)
			mustRelease(t, holds...)
		})
		group.Go(func() {
			time.Sleep(time.Duration(i%7) * 30 * time.Microsecond)
			cancel()
		})
		for range 2 {
			switch r := <-results; {
			case r.err == nil:
				mustRelease(t, r.hold)
			case r.hold != nil || !errors.Is(r.err, context.Canceled):
				t.Fatalf("Acquire returned %v, %v", r.hold, r.err)
			}
		}
		group.Wait()
	}
}

// sharesNothing is a wrapper of a queue that has no Share: its own has nothing to return.
type sharesNothing struct{ queue.TicketQueue }

func (sharesNothing) Share(int) queue.TicketQueue { return nil }

func TestSemaphoreMisuseIsReportedByTheFirstCall(t *testing.T) {
	for want, s := range map[string]*lock.Semaphore{
		"n = 0":                        lock.NewSemaphore(memqueue.New(), 0),
		"n = -1":                       lock.NewSemaphore(memqueue.New(), -1),
		"no method Share":              lock.NewSemaphore(&ownQueue{}, 2),
		"pass the method on":           lock.NewSemaphore(sharesNothing{memqueue.New()}, 2),
		"nil queue":                    lock.NewSemaphore(nil, 2),
		"was not made by NewSemaphore": {},
		"the ctx is nil":               lock.NewSemaphore(memqueue.New(), 2),
		"WithMaxWait":                  lock.NewSemaphore(memqueue.New(), 2, lock.WithMaxWait(0)),
	} {
		ctx := t.Context()
		if want == "the ctx is nil" {
			ctx = nil
		}
		if h, err := s.Acquire(ctx); h != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Acquire returned %v, %v, want an error about %q", h, err, want)
		}
		if h, ok, err := s.TryAcquire(ctx); h != nil || ok || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("TryAcquire returned %v, %v, %v, want an error about %q", h, ok, err, want)
		}
	}
}

// A dead owner gives its permit back, though one that came before it lives.
func TestSemaphoreADeadOwnerInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := leased(lease)
		s := lock.NewSemaphore(q, 3)
		a := mustAcquire(t, s)
		mustRegister(t, q.Share(3)) // and dies
		b := mustAcquire(t, s)
		began := time.Now()
		c := mustAcquire(t, s)
		if took := time.Since(began); took < lease-time.Second || took > lease+time.Second {
			t.Errorf("its permit was given on after %v, the lease is %v", took, lease)
		}
		for _, h := range []*lock.Hold{a, b} {
			if isClosed(h.Lost()) {
				t.Error("one that lives has lost its hold")
			}
		}
		mustRelease(t, a, b, c)
	})
}

// Several die at once: as many are woken, those that came first.
func TestSemaphoreSeveralDieAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := leased(lease)
		alive := mustAcquire(t, lock.NewSemaphore(q, 4))
		for range 3 {
			mustRegister(t, q.Share(4))
		}
		began := time.Now()
		var waiting []*acquiring
		for range 5 {
			waiting = append(waiting, acquire(t, q, 4))
			time.Sleep(time.Millisecond)
		}
		last := alive.Token()
		var holds []*lock.Hold
		for _, w := range waiting[:3] {
			h := <-w.hold
			if took := time.Since(began); took > lease+time.Second {
				t.Errorf("woken after %v", took)
			}
			if h.Token() <= last {
				t.Errorf("token %d after %d", h.Token(), last)
			}
			last = h.Token()
			holds = append(holds, h)
		}
		for _, w := range waiting[3:] {
			w.wantWaiting()
		}
		mustRelease(t, append(holds, alive)...)
		mustRelease(t, <-waiting[3].hold, <-waiting[4].hold)
	})
}

// A hold that TryAcquire has not given is not held, and its deferred Release does no harm.
func TestReleaseOfNoHold(t *testing.T) {
	s := lock.NewSemaphore(memqueue.New(), 1)
	hold := mustAcquire(t, s)
	none, ok, err := s.TryAcquire(t.Context())
	if ok || err != nil {
		t.Fatalf("TryAcquire returned %v, %v", ok, err)
	}
	for _, h := range []*lock.Hold{none, new(lock.Hold)} {
		if err := h.Release(); !errors.Is(err, lock.ErrNotLocked) {
			t.Errorf("Release returned %v, want ErrNotLocked", err)
		}
		if token, lost := h.Token(), h.Lost(); token != 0 || lost != nil {
			t.Errorf("no hold has token %d and channel %v, want 0 and nil", token, lost)
		}
	}
	mustRelease(t, hold)
}

// With different n a later ticket may hold while an earlier one waits; the error of the
// wait lists those that hold.
func TestTheErrorListsThoseThatHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memqueue.New()
		two, four := lock.NewSemaphore(q, 2), lock.NewSemaphore(q, 4)
		a, b := mustAcquire(t, two), mustAcquire(t, two)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		failed := make(chan error)
		go func() {
			_, err := two.Acquire(ctx)
			failed <- err
		}()
		synctest.Wait()
		c := mustAcquire(t, four)
		err := <-failed
		if n := strings.Count(err.Error(), "pid "); n != 3 || !strings.Contains(err.Error(), "with 1 ahead") {
			t.Errorf("Acquire returned %v, want that it lists three", err)
		}
		mustRelease(t, a, b, c)
	})
}
