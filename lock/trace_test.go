package lock_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
	"github.com/fifolock/fifolock/queue/memqueue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// figures are what hooks have told.
type figures struct {
	waiters, holders int
	failed           int // calls and tickets
	zero             int // of failed, those without a ticket
	lost             int
	unconfirmed      int
}

// gauges counts what the hooks tell.
type gauges struct {
	mu sync.Mutex
	figures
	mostHolders int
	errors      []error
}

func (g *gauges) trace() lock.Option {
	change := func(f func()) {
		g.mu.Lock()
		defer g.mu.Unlock()
		f()
	}
	return lock.WithTrace(&lock.Trace{
		Registered: func(queue.Ticket) { change(func() { g.waiters++ }) },
		Acquired: func(queue.Ticket, time.Duration) {
			change(func() {
				g.waiters--
				g.holders++
				g.mostHolders = max(g.mostHolders, g.holders)
			})
		},
		Failed: func(t queue.Ticket, _ time.Duration, err error) {
			change(func() {
				g.failed++
				g.errors = append(g.errors, err)
				if t == (queue.Ticket{}) {
					g.zero++
				} else {
					g.waiters--
				}
			})
		},
		Lost:          func(queue.Ticket, error) { change(func() { g.lost++; g.holders-- }) },
		Released:      func(queue.Ticket, time.Duration) { change(func() { g.holders-- }) },
		ReleaseFailed: func(queue.Ticket, error) { change(func() { g.unconfirmed++ }) },
	})
}

func (g *gauges) want(t *testing.T, want figures) {
	t.Helper()
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.figures != want {
		t.Errorf("the hooks have told of %+v, want %+v", g.figures, want)
	}
}

// Five Locks that time out leave a gauge of waiters at 0, and an outage is seen.
func TestK62GaugesComeBackTo0(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gauges
		q := newFaulty(leased(lease))
		m := lock.New(q, g.trace())
		mustLock(t, m)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range 5 {
			go func() { _ = m.Lock(ctx) }()
		}
		synctest.Wait()
		for _, busy := range []*lock.Mutex{m, lock.New(q, g.trace())} { // the holder itself, and another
			if ok, err := busy.TryLock(ctx); ok || err != nil {
				t.Errorf("TryLock returned %v, %v", ok, err)
			}
		}
		g.want(t, figures{waiters: 5, holders: 1})
		time.Sleep(2 * time.Second)
		g.want(t, figures{holders: 1, failed: 5})
		for _, err := range g.errors {
			if !errors.Is(err, lock.ErrBusy) {
				t.Errorf("told of %v, want what Lock returned", err)
			}
		}
		mustUnlock(t, m)
		g.want(t, figures{failed: 5})

		q.failBefore(down())
		_ = m.Lock(t.Context())
		_, _ = m.TryLock(t.Context())
		_ = m.Lock(ctx) // it has ended
		g.want(t, figures{failed: 8, zero: 3})
	})
}

// Three are ahead, and leave one second apart: the hooks are told of each place, and for how
// long the call has waited.
func TestHooksAreToldOfTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := leased(0)
		var told []string
		tell := func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
		m := lock.New(q, lock.WithMaxWait(3500*time.Millisecond),
			lock.WithBackOff(func() backoff.BackOff { return backoff.NewConstantBackOff(10 * time.Millisecond) }),
			lock.WithTrace(&lock.Trace{
				Waiting:  func(_ queue.Ticket, ahead int) { tell("waiting, %d ahead", ahead) },
				Acquired: func(_ queue.Ticket, waited time.Duration) { tell("acquired after %v", waited) },
				Failed:   func(_ queue.Ticket, waited time.Duration, err error) { tell("failed after %v: %v", waited, err) },
			}))
		for _, ahead := range []queue.Ticket{mustRegister(t, q), mustRegister(t, q), mustRegister(t, q)} {
			time.AfterFunc(time.Duration(ahead.Ahead+1)*time.Second, func() { _ = q.Release(t.Context(), ahead) })
		}
		mustLock(t, m)
		err := m.Lock(t.Context()) // waits for itself
		mustUnlock(t, m)
		want := []string{"waiting, 2 ahead", "waiting, 1 ahead", "acquired after 3s", "failed after 3.5s: " + err.Error()}
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

// A waiter that is evicted, one that steps back for a lost hold and a TryLock that
// comes too late leave the gauges right, too.
func TestGaugesOfTicketsThatAreReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gauges
		q := newFaulty(leased(lease))
		option, tickets := registration()
		holder, m := lock.New(q), lock.New(q, g.trace(), option)
		mustLock(t, holder)
		served := make(chan error, 1)
		go func() { served <- m.Lock(t.Context()) }()
		evict(t, q, <-tickets)
		time.Sleep(lease)
		g.want(t, figures{waiters: 1, failed: 1})
		if !errors.Is(g.errors[0], queue.ErrNotQueued) {
			t.Errorf("told of %v, want ErrNotQueued", g.errors[0])
		}
		mustUnlock(t, holder)
		if err := <-served; err != nil {
			t.Fatal(err)
		}
		g.want(t, figures{holders: 1, failed: 1})

		evict(t, q, <-tickets) // the hold is lost
		go func() { served <- m.Lock(t.Context()) }()
		time.Sleep(lease)
		g.want(t, figures{failed: 2, lost: 1})
		_ = m.Unlock()
		if err := <-served; err != nil {
			t.Fatal(err)
		}
		mustUnlock(t, m)
		g.want(t, figures{failed: 2, lost: 1})

		q.failAfter(func(_ context.Context, method string) error {
			if method == "TryRegister" {
				time.Sleep(2 * lease)
			}
			return nil
		})
		if ok, err := m.TryLock(t.Context()); ok || err == nil || !strings.Contains(err.Error(), "ran out") {
			t.Errorf("TryLock returned %v, %v, want that the lease ran out", ok, err)
		}
		g.want(t, figures{failed: 3, lost: 1})
	})
}

// A ticket that was evicted is told of once, also if there is none after it.
func TestGaugesOfATicketThatIsNotReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gauges
		q := newFaulty(leased(lease))
		option, tickets := registration()
		holder, m := lock.New(q), lock.New(q, g.trace(), option)
		mustLock(t, holder)
		served := make(chan error, 1)
		go func() { served <- m.Lock(t.Context()) }()
		evict(t, q, <-tickets)
		q.failBefore(down("Register"))
		if err := <-served; !errors.Is(err, errDown) {
			t.Errorf("Lock returned %v, want %v", err, errDown)
		}
		g.want(t, figures{failed: 2, zero: 1})
		mustUnlock(t, holder)
	})
}

// A gauge of holders never shows more than there can be.
func TestK63ReleasedIsToldInTime(t *testing.T) {
	testenv.Long(t)
	for name, q := range map[string]queue.TicketQueue{
		"memory": memqueue.New(),
		"file":   filequeue.New(filepath.Join(t.TempDir(), "queue")),
		"redis":  redisqueue.New(redistest.Client(t), redistest.Name(t)),
	} {
		t.Run(name, func(t *testing.T) {
			const rounds, n = 100, 3
			var g gauges
			contend(t, rounds, slices.Repeat([]locker{onMutex{lock.New(q, g.trace()), q}}, 4)...)
			if g.mostHolders != 1 {
				t.Errorf("it showed %d holders of a Mutex", g.mostHolders)
			}
			s := lock.NewSemaphore(q, n, g.trace())
			var group sync.WaitGroup
			for range 3 * n {
				group.Go(func() {
					for range rounds {
						h, err := s.Acquire(t.Context())
						if err == nil {
							err = h.Release()
						}
						if err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			if g.mostHolders > n {
				t.Errorf("it showed %d holders of a Semaphore of %d", g.mostHolders, n)
			}
			if g.figures != (figures{}) {
				t.Errorf("in the end it shows %+v", g.figures)
			}
		})
	}
}

// What Released has told and the queue has not confirmed is told as well.
func TestReleaseFailed(t *testing.T) {
	for name, test := range map[string]struct {
		fault func(*faulty, queue.Ticket)
		want  error
	}{
		"the backend is down":        {func(q *faulty, _ queue.Ticket) { q.failBefore(down("Release")) }, errDown},
		"only the release finds out": {func(q *faulty, t queue.Ticket) { _ = q.Queue.Remove(context.Background(), t) }, lock.ErrLost},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g gauges
				q := newFaulty(leased(lease))
				option, tickets := registration()
				var told error
				hook := lock.WithTrace(&lock.Trace{ReleaseFailed: func(_ queue.Ticket, err error) { told = err }})
				m := lock.New(q, option, g.trace(), hook)
				mustLock(t, m)
				test.fault(q, <-tickets)
				err := m.Unlock()
				if !errors.Is(err, test.want) {
					t.Errorf("Unlock returned %v, want %v", err, test.want)
				}
				if told != err {
					t.Errorf("the hook ReleaseFailed was told %v, and Unlock returned %v", told, err)
				}
				g.want(t, figures{unconfirmed: 1})

				q = newFaulty(leased(lease))
				hold := mustAcquire(t, lock.NewSemaphore(q, 1, option, hook))
				evict(t, q, <-tickets)
				if err := hold.Release(); !errors.Is(err, lock.ErrLost) || told != err {
					t.Errorf("the hook ReleaseFailed was told %v, and Release returned %v, want ErrLost", told, err)
				}
			})
		})
	}
}

// A hook that panics as the lock is released does not keep it.
func TestReleasedThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memqueue.New()
		m := lock.New(q, lock.WithTrace(&lock.Trace{Released: func(queue.Ticket, time.Duration) { panic("in a hook") }}))
		mustLock(t, m)
		if got := panicOf(func() { _ = m.Unlock() }); got != "in a hook" {
			t.Errorf("Unlock panicked with %v, want what the hook panicked with", got)
		}
		synctest.Wait()
		if n := inLine(t, q); n > 0 {
			t.Errorf("%d tickets are left in line", n)
		}
	})
}

func TestK64TracesCompose(t *testing.T) {
	var calls []string
	trace := func(name string) lock.Option {
		return lock.WithTrace(&lock.Trace{
			Registered: func(queue.Ticket) { calls = append(calls, name+" registered") },
			Acquired:   func(queue.Ticket, time.Duration) { calls = append(calls, name+" acquired") },
		})
	}
	m := lock.New(memqueue.New(), trace("a"), lock.WithTrace(nil), trace("b"))
	mustLock(t, m)
	mustUnlock(t, m)
	if want := []string{"a registered", "b registered", "a acquired", "b acquired"}; !slices.Equal(calls, want) {
		t.Errorf("called %q, want %q", calls, want)
	}
}

// A hold that is lost while the hooks are told of it is lost to them afterwards.
func TestLostIsToldAfterAcquired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		q.failBefore(down("Refresh"))
		told := make(chan string, 2)
		m := lock.New(q, lock.WithTrace(&lock.Trace{
			Acquired: func(queue.Ticket, time.Duration) {
				time.Sleep(2 * lease)
				told <- "acquired"
			},
			Lost: func(queue.Ticket, error) { told <- "lost" },
		}))
		mustLock(t, m)
		if first, second := <-told, <-told; first != "acquired" || second != "lost" {
			t.Errorf("the hooks were told %s, %s", first, second)
		}
		_ = m.Unlock()
	})
}
