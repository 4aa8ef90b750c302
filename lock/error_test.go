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

	"github.com/fifolock/fifolock/lock"
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

// latest is a ctx of which the end is known later than its deadline passes.
type latest struct{ context.Context }

func (latest) Deadline() (time.Time, bool) { return time.Now().Add(-time.Nanosecond), true }

// A connection may see the deadline of a wait a moment before the ctx does.
func TestDeadlineThatTheQueueSeesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFaulty(leased(0))
		q.failBefore(ends(context.DeadlineExceeded, "Register"))
		err := lock.New(q).Lock(latest{t.Context()})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the end of the ctx", err)
		}
	})
}
