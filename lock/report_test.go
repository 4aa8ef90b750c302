package lock_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/memqueue"
	"github.com/fifolock/fifolock/queue/queuetest"
)

// lockForASecond calls Lock with a ctx that ends after a second.
func lockForASecond(t *testing.T, q queue.TicketQueue) error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	return lock.New(q).Lock(ctx)
}

// A program can tell a lock that is taken from a server that is away.
func TestK61BusyIsNotAway(t *testing.T) {
	free := make(chan struct{})
	on := func(methods string, f func() error) func(context.Context, string) error {
		return func(_ context.Context, called string) error {
			if slices.Contains(strings.Fields(methods), called) {
				return f()
			}
			return nil
		}
	}
	refuse := func() error { return errDown }
	hang := func() error { <-free; return errDown }
	// evicted has the first ticket evicted, and what happens to the next registration.
	evicted := func(then func() error) func(context.Context, string) error {
		registrations := 0
		return func(_ context.Context, called string) error {
			switch {
			case called == "Register":
				if registrations++; registrations > 1 {
					return then()
				}
			case called == "Position":
				return queue.ErrNotQueued
			}
			return nil
		}
	}
	for name, test := range map[string]struct {
		fault func(context.Context, string) error
		busy  bool
		text  string
	}{
		"it answers":                         {down("nothing"), true, " with 1 ahead in line; held by "},
		"it is silent":                       {func(context.Context, string) error { return hang() }, false, "before the queue answered"},
		"it refuses to register":             {on("Register", refuse), false, "the backend is down"},
		"a registration hangs":               {on("Register", hang), false, "before the queue answered"},
		"a watch hangs":                      {on("Watch", hang), true, " with 1 ahead in line"},
		"a watch and a listing hang":         {on("Watch Members", hang), false, "while the queue did not answer"},
		"looks are refused":                  {on("Position", refuse), false, "while the queue did not answer: the backend is down"},
		"a look hangs":                       {on("Position Members", hang), false, "while the queue did not answer"},
		"a look hangs, but the line is read": {on("Position", hang), true, " with 1 ahead in line; held by "},
		"a listing is refused":               {on("Members", refuse), false, "while the queue did not answer: the backend is down"},
		"a listing hangs":                    {on("Members", hang), true, " with 1 ahead in line"},
		"evicted, and a registration hangs":  {evicted(hang), false, "before the queue answered"},
		"evicted, and it refuses":            {evicted(refuse), false, "while the queue did not answer: the backend is down"},
		"a release hangs":                    {on("Release", hang), true, " with 1 ahead in line; held by "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				free = make(chan struct{})
				q := newFaulty(leased(lease))
				before := mustRegister(t, q.Queue)
				q.failBefore(test.fault)
				began := time.Now()
				err := lockForASecond(t, q)
				if took := time.Since(began); took > 1100*time.Millisecond {
					t.Errorf("it returned after %v", took)
				}
				if errors.Is(err, lock.ErrBusy) != test.busy || !strings.Contains(err.Error(), test.text) {
					t.Errorf("Lock returned %q, want %q in it, and busy: %v", err, test.text, test.busy)
				}
				if name != "it refuses to register" && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Lock returned %v, want that its ctx has ended", err)
				}
				close(free)
				q.failBefore(down("nothing"))
				synctest.Wait()
				if err := q.Queue.Remove(t.Context(), before); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// The error of a wait names the holder, as far as it is known.
func TestTheErrorNamesTheHolder(t *testing.T) {
	where := hostAndPID()
	for name, test := range map[string]struct {
		queue func() queue.TicketQueue
		want  string
	}{
		"with a label": {
			func() queue.TicketQueue { return memqueue.New(memqueue.WithLabel("deploy-42")) },
			" with 1 ahead in line; held by deploy-42 (" + where + ")",
		},
		"without": {
			func() queue.TicketQueue { return memqueue.New() },
			" with 1 ahead in line; held by " + where,
		},
		"with a label that was not checked": {
			func() queue.TicketQueue { return unchecked{memqueue.New()} },
			" with 1 ahead in line; held by one\uFFFDtwo\uFFFD[31m (pid 7 on a\uFFFDb)",
		},
		"that tells nothing": {
			func() queue.TicketQueue { return reticent{memqueue.New()} },
			" with 1 ahead in line; held by ticket 946684800000001",
		},
		"of a queue that cannot list": {
			func() queue.TicketQueue { return queuetest.Bare(memqueue.New()) },
			" with 1 ahead in line",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := test.queue()
				before := mustRegister(t, q)
				err := lockForASecond(t, q)
				if !errors.Is(err, lock.ErrBusy) || !strings.HasSuffix(err.Error(), "after 1s"+test.want) {
					t.Errorf("Lock returned %q, want %q at its end", err, test.want)
				}
				if err := q.Remove(t.Context(), before); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// reticent is a queue with a listing that has tickets only.
type reticent struct{ *memqueue.Queue }

func (q reticent) Members(ctx context.Context) ([]queue.Member, error) {
	list, err := q.Queue.Members(ctx)
	for i, m := range list {
		list[i] = queue.Member{Ticket: m.Ticket}
	}
	return list, err
}

// unchecked is a queue with storage that another program has written to.
type unchecked struct{ *memqueue.Queue }

func (q unchecked) Members(ctx context.Context) ([]queue.Member, error) {
	list, err := q.Queue.Members(ctx)
	for i, m := range list {
		list[i] = queue.Member{Ticket: m.Ticket, Label: "one\ntwo\x1b[31m", Host: "a\xffb", PID: 7}
	}
	return list, err
}

// All of the first n hold a Semaphore.
func TestTheErrorNamesTheHoldersOfASemaphore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memqueue.New(memqueue.WithLabel("worker"))
		s := lock.NewSemaphore(q, 5)
		var holds []*lock.Hold
		for range 5 {
			holds = append(holds, mustAcquire(t, s))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.Acquire(ctx)
		const want = "acquire: memory queue: context deadline exceeded after 1s with 1 ahead in line; held by " +
			"worker, worker, worker, 2 more"
		text := err.Error()
		text = strings.ReplaceAll(text, " ("+hostAndPID()+")", "")
		if !errors.Is(err, lock.ErrBusy) || text != want {
			t.Errorf("Acquire returned %q, want %q", text, want)
		}
		mustRelease(t, holds...)
	})
}

func hostAndPID() string {
	host, _ := os.Hostname()
	return fmt.Sprintf("pid %d on %s", os.Getpid(), host)
}

func TestTheErrorOfANestedLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := lock.New(memqueue.New())
		mustLock(t, m)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := m.Lock(ctx); !errors.Is(err, lock.ErrBusy) || !strings.Contains(err.Error(), "held by this very Mutex") {
			t.Errorf("Lock returned %v, want that this Mutex holds it", err)
		}
		mustUnlock(t, m)
	})
}

// TestTheCauseIsNoVerdict: the error of another lock, for which the caller has ended the
// ctx, does not say that this one is busy, or lost.
func TestTheCauseIsNoVerdict(t *testing.T) {
	for _, verdict := range []error{lock.ErrBusy, lock.ErrLost, lock.ErrNotLocked, queue.ErrNotQueued, queue.ErrClosed, context.DeadlineExceeded} {
		other := fmt.Errorf("another lock: %w", errors.Join(verdict, errDown, &queue.Error{Err: verdict}))
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(other)
		err := lock.New(memqueue.New()).Lock(ctx)
		if errors.Is(err, verdict) || !errors.Is(err, errDown) || !strings.Contains(err.Error(), other.Error()) {
			t.Errorf("Lock returned %v, want the text of the cause, and nothing of what it says", err)
		}
		var named *queue.Error
		if !errors.As(err, &named) {
			t.Errorf("Lock returned %v, want that its cause can be found", err)
		}
	}
}

// TestASlowAnswerIsNoSilence: from another region each answer takes its time, and one is
// under way when the wait ends.
func TestASlowAnswerIsNoSilence(t *testing.T) {
	const roundTrip = 300 * time.Millisecond
	for wait := 2 * time.Second; wait < 2*time.Second+2*roundTrip; wait += 10 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			q := newFaulty(leased(lease))
			before := mustRegister(t, q.Queue)
			q.failBefore(func(context.Context, string) error {
				time.Sleep(roundTrip)
				return nil
			})
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			if err := lock.New(q).Lock(ctx); !errors.Is(err, lock.ErrBusy) {
				t.Errorf("Lock returned %q after %v, want ErrBusy", err, wait)
			}
			time.Sleep(time.Minute) // what is under way ends
			_ = q.Queue.Remove(t.Context(), before)
		})
	}
}

// The cause of a ctx may be the error of another lock.
func TestTheErrorNamesItsOwnQueue(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(&queue.Error{Op: "refresh", Queue: "another queue", Err: errDown})
	err := lock.New(memqueue.New()).Lock(ctx)
	if !strings.HasPrefix(err.Error(), "lock: memory queue: ") || !errors.Is(err, errDown) || !errors.Is(err, context.Canceled) {
		t.Errorf("Lock returned %v, want the name of its queue, and the cause", err)
	}
}

// Wait for a second at most, then work for an hour.
func TestK65MaxWaitBoundsTheWaitOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := leased(lease)
		m := lock.New(q, lock.WithMaxWait(time.Second))
		err := m.Do(t.Context(), func(ctx context.Context) error {
			time.Sleep(time.Hour)
			began := time.Now()
			err := m.Lock(t.Context())
			if took := time.Since(began); took != time.Second {
				t.Errorf("Lock returned after %v", took)
			}
			if !errors.Is(err, lock.ErrBusy) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "WithMaxWait allows 1s") {
				t.Errorf("Lock returned %v", err)
			}
			ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
			defer cancel()
			if err := m.Lock(ctx); !errors.Is(err, lock.ErrBusy) || strings.Contains(err.Error(), "WithMaxWait") {
				t.Errorf("Lock returned %v, though its ctx ended first", err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		s := lock.NewSemaphore(q, 1, lock.WithMaxWait(time.Second))
		err = s.Do(t.Context(), func(ctx context.Context, _ *lock.Hold) error {
			time.Sleep(time.Hour)
			if _, err := s.Acquire(t.Context()); !errors.Is(err, lock.ErrBusy) {
				t.Errorf("Acquire returned %v", err)
			}
			return ctx.Err()
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// A queue without Position says only whether a ticket is the head: no look makes a place
// in line better than it was when the ticket was taken.
func TestALookThatKnowsNoPlaceKeepsTheOneThatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memqueue.New()
		const before = 5
		var line []queue.Ticket
		for range before {
			line = append(line, mustRegister(t, q))
		}
		trace := lock.WithTrace(&lock.Trace{Waiting: func(_ queue.Ticket, ahead int) { t.Errorf("the hook Waiting was told %d", ahead) }})
		m := lock.New(queuetest.Hidden(q)["Positioner"], trace)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := m.Lock(ctx); err == nil || !strings.Contains(err.Error(), fmt.Sprintf(" with %d ahead in line", before)) {
			t.Errorf("Lock returned %v, want that %d are ahead", err, before)
		}
		locked := make(chan error, 1)
		go func() { locked <- m.Lock(t.Context()) }()
		synctest.Wait()
		for _, ticket := range line {
			if err := q.Remove(t.Context(), ticket); err != nil {
				t.Error(err)
			}
		}
		if err := <-locked; err != nil {
			t.Error(err)
		}
		mustUnlock(t, m)
	})
}
