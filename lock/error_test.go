package lock_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
)

// ends makes calls fail as if their ctx had ended, which it has not: the queue has a timeout
// of its own, or its client was closed.
func ends(err error, methods ...string) func(context.Context, string) error {
	return func(_ context.Context, method string) error {
		for _, m := range methods {
			if m == method {
				return fmt.Errorf("the backend's own: %w", err)
			}
		}
		return nil
	}
}

// bothEnds are the errors of a ctx.
var bothEnds = []error{context.DeadlineExceeded, context.Canceled}

// wantOwnError checks that err has the words, and is not that of a ctx.
func wantOwnError(t *testing.T, err error, words string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("%v, want %q", err, words)
	}
	for _, ended := range bothEnds {
		if errors.Is(err, ended) {
			t.Errorf("it counts as %q, which the caller's ctx has not met: %v", ended, err)
		}
	}
}

const backendsOwn = "the backend's own: context "

// An error of the queue's that is a ctx's says nothing of the caller's: the work of a Do that
// returns it is done, and must not be tried again as after a wait that has ended.
func TestUnlockErrorIsNotTheEndOfAWait(t *testing.T) {
	for _, ended := range bothEnds {
		synctest.Test(t, func(t *testing.T) {
			q := newFaulty(leased(lease))
			q.failBefore(ends(ended, "Release"))
			wantOwnError(t, lock.New(q).Do(t.Context(), func(context.Context) error { return nil }), backendsOwn)
		})
	}
}

func TestLossIsNotTheEndOfAWait(t *testing.T) {
	for _, ended := range bothEnds {
		synctest.Test(t, func(t *testing.T) {
			q := newFaulty(leased(lease))
			q.failBefore(ends(ended, "Refresh"))
			var cause error
			err := lock.New(q).Do(t.Context(), func(ctx context.Context) error {
				<-ctx.Done()
				cause = context.Cause(ctx)
				return nil
			})
			for _, err := range []error{err, cause} {
				wantOwnError(t, err, backendsOwn)
				if !errors.Is(err, lock.ErrLost) {
					t.Errorf("%v, want ErrLost", err)
				}
			}
		})
	}
}

func TestLockErrorIsNotTheEndOfItsContext(t *testing.T) {
	for _, ended := range bothEnds {
		for _, methods := range [][]string{{"Register"}, {"Position", "Watch"}} {
			synctest.Test(t, func(t *testing.T) {
				var out strings.Builder
				q := newFaulty(leased(0))
				mustRegister(t, q)
				q.failBefore(ends(ended, methods...))
				m := lock.New(q, lock.WithTrace(lock.LogTrace(slog.New(slog.NewTextHandler(&out, nil)))))
				wantOwnError(t, m.Lock(t.Context()), backendsOwn)
				if !strings.Contains(out.String(), "did not get the lock") {
					t.Errorf("logged is %q", &out)
				}
			})
		}
	}
}

// A waiter that has lost its place, because its heartbeats failed so, was not cancelled.
func TestPlaceThatIsLostIsNoCancelledWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		q := newFaulty(leased(lease))
		holder := lock.New(q.Queue)
		mustLock(t, holder)
		defer holder.Unlock()
		q.failBefore(ends(context.Canceled, "Refresh", "Position"))
		ctx, cancel := context.WithTimeout(t.Context(), 3*lease/2)
		defer cancel()
		m := lock.New(q, lock.WithTrace(lock.LogTrace(slog.New(slog.NewTextHandler(&out, nil)))))
		err := m.Lock(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			t.Errorf("%v, want the end of the ctx and no other", err)
		}
		if !strings.Contains(out.String(), "lost its place in line") {
			t.Errorf("logged is %q", &out)
		}
	})
}

// Hooks may tell errors apart.
func TestHeartbeatErrorsCompare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(lease))
		failed := make(chan error, 100)
		m := lock.New(q, lock.WithTrace(&lock.Trace{HeartbeatFailed: func(_ queue.Ticket, err error) { failed <- err }}))
		mustLock(t, m)
		q.failBefore(ends(context.DeadlineExceeded, "Refresh"))
		time.Sleep(lease / 2)
		q.failBefore(down("nothing"))
		time.Sleep(lease / 2)
		mustUnlock(t, m)
		one, another := <-failed, <-failed
		if count := map[error]int{one: 1, another: 1}; len(count) != 2 || !errors.Is(one, one) || errors.Is(one, another) {
			t.Errorf("%v and %v: each is not itself alone", one, another)
		}
	})
}

// early is a ctx whose deadline passes a moment before it ends.
type early struct{ context.Context }

const moment = time.Microsecond

func (e early) Deadline() (time.Time, bool) {
	deadline, ok := e.Context.Deadline()
	return deadline.Add(-moment), ok
}

// A connection may see the deadline of a wait a moment before the ctx does. That is the end
// of the wait all the same, with all that belongs to it.
func TestDeadlineThatTheQueueSeesFirst(t *testing.T) {
	for method, busy := range map[string]bool{"Register": false, "Position": true} {
		for _, lease := range []time.Duration{0, lease} {
			synctest.Test(t, func(t *testing.T) {
				q := newFaulty(leased(lease))
				mustLock(t, lock.New(q.Queue))
				why := errors.New("why")
				inner, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
				defer cancel()
				deadline, _ := early{inner}.Deadline()
				q.failBefore(func(_ context.Context, called string) error {
					if called != method || method == "Position" && time.Until(deadline) > 100*time.Millisecond {
						return nil
					}
					time.Sleep(time.Until(deadline))
					return context.DeadlineExceeded
				})
				often := lock.WithBackOff(func() backoff.BackOff { return backoff.NewConstantBackOff(50 * time.Millisecond) })
				err := lock.New(q, often).Lock(early{inner})
				cancel() // too late
				if !errors.Is(err, inner.Err()) || !errors.Is(err, why) || errors.Is(err, lock.ErrBusy) != busy {
					t.Errorf("%s, lease %v: %v (busy: %v)", method, lease, err, errors.Is(err, lock.ErrBusy))
				}
			})
		}
	}
}

// latest is a ctx of the user's own whose end does not come when its deadline has passed.
type latest struct{ context.Context }

func (latest) Deadline() (time.Time, bool) { return time.Now().Add(-moment), true }

func TestDeadlineWithoutAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(0))
		q.failBefore(ends(context.DeadlineExceeded, "Register"))
		if err := lock.New(q).Lock(latest{t.Context()}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the end of the ctx", err)
		}
	})
}
